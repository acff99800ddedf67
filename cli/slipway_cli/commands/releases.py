"""Releases: list them, and return to one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from slipway_cli.errors import CommandFailed
from slipway_cli.options import AppOption, JsonOption, QuietOption, app_path, connect, output
from slipway_cli.output import Output
from slipway_cli.waiting import follow_rollout

if TYPE_CHECKING:  # its HTTP client is slow to import
    from slipway_cli.portal import Portal

app = typer.Typer()

WaitOption = Annotated[bool, typer.Option(help="Wait until it is live.")]
VersionArgument = Annotated[str, typer.Argument(help="A release, for example v12.")]


@app.command()
def releases(app: AppOption = None, *, json: JsonOption = False) -> None:
    """List all releases, newest first."""
    found = connect().get(f"{app_path(app)}/releases")
    rows = [
        [
            f"v{item['number']}",
            "current" if item["current"] else "",
            item["description"],
            item["by"],
            item["created_at"],
        ]
        for item in found
    ]
    output(json=json).table(
        ["Release", "", "Description", "By", "Created"], rows, found, none="No releases yet."
    )


@app.command()
def rollback(
    version: Annotated[
        str | None, typer.Argument(help="A release, for example v12. Default: the one before.")
    ] = None,
    app: AppOption = None,
    *,
    old_config: Annotated[
        bool, typer.Option("--old-config", help="Take that release's config vars, too.")
    ] = False,
    wait: WaitOption = True,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Return to an old release: its code becomes a new release, with today's config vars."""
    portal, path = connect(), app_path(app)
    number = _number(version) if version else _before_current(portal, path)
    rollout = portal.post(
        f"{path}/releases/{number}/rollback", config="release" if old_config else "current"
    )
    shown = output(json=json, quiet=quiet)
    shown.say(f"v{rollout['release']} rolls out with the code of v{number}.")
    _finish(portal, path, rollout, shown, wait=wait)


@app.command()
def retry(
    version: VersionArgument,
    app: AppOption = None,
    *,
    wait: WaitOption = True,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Repeat the rollout of the newest release after it failed."""
    portal, path = connect(), app_path(app)
    rollout = portal.post(f"{path}/releases/{_number(version)}/again")
    _finish(portal, path, rollout, output(json=json, quiet=quiet), wait=wait)


def _finish(
    portal: Portal, path: str, rollout: dict[str, object], shown: Output, *, wait: bool
) -> None:
    release = int(str(rollout["release"]))
    ended = follow_rollout(portal, path, release, shown) if wait else rollout
    shown.result(f"v{release} is live." if wait else f"v{release} rolls out.", ended)


def _before_current(portal: Portal, path: str) -> int:
    """Return the release before the current one."""
    older = [item for item in portal.get(f"{path}/releases") if not item["current"]]
    current = portal.get(path)["release"]
    numbers = [int(item["number"]) for item in older if current and item["number"] < current]
    if not numbers:
        raise CommandFailed(
            "There is no release before the current one.", hint="`slipway releases` lists all."
        )
    return max(numbers)


def _number(version: str) -> int:
    digits = version.lower().removeprefix("v")
    if not digits.isdecimal():
        raise typer.BadParameter(f"{version!r} is not a release. Write v12 or 12.")
    return int(digits)
