"""Deploy a folder, an image or a git address; list and stop builds."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from slipway_cli.errors import CommandFailed, ExitCode
from slipway_cli.options import AppOption, JsonOption, QuietOption, app_path, connect, output
from slipway_cli.output import Output, bytes_of
from slipway_cli.project import app_of
from slipway_cli.waiting import follow_build, follow_deploy

if TYPE_CHECKING:  # its HTTP client is slow to import
    from slipway_cli.portal import Portal

app = typer.Typer()
builds = typer.Typer()
app.add_typer(builds, name="builds")

WaitOption = Annotated[bool, typer.Option(help="Wait until the new release is live.")]


@app.command()
def deploy(
    folder: Annotated[Path, typer.Argument(help="The folder that has the app's code.")] = Path(),
    app: AppOption = None,
    *,
    image: Annotated[str | None, typer.Option(help="Deploy HOST/NAME:TAG instead.")] = None,
    git: Annotated[
        str | None, typer.Option(help="Deploy the git repository at this address instead.")
    ] = None,
    branch: Annotated[str, typer.Option(help="With --git: a branch or tag.")] = "",
    wait: WaitOption = True,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Deploy a folder: pack, upload, build and roll out, with the log.

    What .gitignore and .slipwayignore exclude is not uploaded.
    """
    if image is not None and git is not None:
        raise CommandFailed("--image and --git exclude each other.", code=ExitCode.USAGE)
    shown = output(json=json, quiet=quiet)
    name = app_of(app, folder if folder.is_dir() else None)
    path, portal = app_path(name), connect()
    if image is not None:
        build = portal.post(f"{path}/builds/image", {"image": image})
    elif git is not None:
        build = portal.post(f"{path}/builds/git", {"address": git, "branch": branch})
    else:
        build = _upload(portal, path, folder, shown)
    _wait(portal, path, build, shown, wait=wait)


def _upload(portal: Portal, path: str, folder: Path, shown: Output) -> dict[str, Any]:
    from slipway_cli.packing import pack  # slow to import, and only needed here

    with tempfile.TemporaryFile(prefix="slipway-") as archive:
        packed = pack(folder, archive)
        size = archive.tell()
        archive.seek(0)
        shown.say(
            f"Uploading {packed.files} files, {bytes_of(packed.size)} ({bytes_of(size)} packed)"
        )
        content: IO[bytes] = archive
        if not shown.quiet and sys.stderr.isatty():
            from rich.progress import wrap_file  # slow to import: only for people

            with wrap_file(archive, size, description="Uploading", transient=True) as content:
                return portal.upload(f"{path}/builds", "archive", "source.tar.gz", content)
        return portal.upload(f"{path}/builds", "archive", "source.tar.gz", content)


def _wait(portal: Portal, path: str, build: dict[str, Any], shown: Output, *, wait: bool) -> None:
    if not wait:
        shown.result(
            f"Build {build['id']} is queued. `slipway builds log {build['id']}` follows it.", build
        )
        return
    try:
        done = follow_deploy(portal, path, build["id"], shown)
    except KeyboardInterrupt:
        shown.say(f"Build {build['id']} goes on. `slipway builds cancel {build['id']}` stops it.")
        raise
    if shown.as_json:
        shown.json(done)


@builds.callback(invoke_without_command=True)
def list_builds(context: typer.Context, app: AppOption = None, *, json: JsonOption = False) -> None:
    """List the latest builds, or show the log of one."""
    if context.invoked_subcommand is not None:
        return
    found = connect().get(f"{app_path(app)}/builds")
    rows = [
        [item["id"], item["state"], item["origin"], item["description"], item["created_at"]]
        for item in found
    ]
    output(json=json).table(
        ["Build", "State", "From", "Description", "Created"], rows, found, none="No builds yet."
    )


@builds.command("log")
def build_log(
    number: int,
    app: AppOption = None,
    *,
    follow: Annotated[bool, typer.Option(help="Until the build ends.")] = True,
) -> None:
    """Print a build's log. The exit code is 1 if the build did not succeed."""
    portal, path = connect(), app_path(app)
    if follow:
        follow_build(portal, path, number, output())
        return
    for line in portal.lines(f"{path}/builds/{number}/log"):
        print(line)


@builds.command()
def cancel(number: int, app: AppOption = None, *, json: JsonOption = False) -> None:
    """Stop a build."""
    stopped = connect().post(f"{app_path(app)}/builds/{number}/cancel")
    output(json=json).result(f"Build {number}: {stopped['state']}.", stopped)
