"""Apps: list, create, open, scale, restart and delete them."""

from __future__ import annotations

import webbrowser
from typing import Annotated, Any

import typer

from slipway_cli.errors import CommandFailed, ExitCode
from slipway_cli.options import (
    AppOption,
    JsonOption,
    QuietOption,
    YesOption,
    app_path,
    connect,
    output,
)
from slipway_cli.output import ask, bytes_of
from slipway_cli.project import app_of, git
from slipway_cli.sizes import bytes_from

app = typer.Typer()

_FIELDS = {"count", "cpu", "memory", "disk", "processes"}


@app.command()
def apps(*, json: JsonOption = False) -> None:
    """List your apps."""
    found = connect().all_pages("/apps")
    rows = [
        [item["name"], item["team"], item["state"], _version(item["release"]), item["url"]]
        for item in found
    ]
    output(json=json).table(
        ["App", "Team", "State", "Release", "Address"],
        rows,
        found,
        none="You have no apps. Create one with `slipway create NAME`.",
    )


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Small letters, digits and hyphens.")],
    *,
    team: Annotated[str | None, typer.Option(help="Needed if you are in several teams.")] = None,
    remote: Annotated[bool, typer.Option(help="Add the git remote `slipway`.")] = True,
    json: JsonOption = False,
) -> None:
    """Create an app. In a git repository, the remote `slipway` then leads to it."""
    portal = connect()
    if team is None and len(teams := portal.get("/teams")) > 1:
        raise CommandFailed(
            f"You are in several teams: {', '.join(item['name'] for item in teams)}.",
            hint=f"Choose one: slipway create {name} --team NAME",
            code=ExitCode.USAGE,
        )
    body = {"name": name} if team is None else {"name": name, "team": team}
    created = portal.post("/apps", body)
    result = output(json=json)
    result.result(f"Created {created['name']}: {created['url']}", created)
    if remote and git("rev-parse", "--git-dir") is not None:
        from slipway_cli.commands.git import add_remote

        add_remote(portal, created["name"], result)


@app.command()
def info(app: AppOption = None, *, json: JsonOption = False) -> None:
    """Show an app's state and address."""
    found = connect().get(app_path(app))
    facts = {
        "Name": found["name"],
        "Team": found["team"],
        "State": found["status"],
        "Release": _version(found["release"]),
        "Address": found["url"],
        "Created": found["created_at"],
    }
    output(json=json).facts(facts, found)


@app.command("open")
def open_app(app: AppOption = None) -> None:
    """Open an app in the browser."""
    url = connect().get(app_path(app))["url"]
    output().say(url)
    webbrowser.open(url)


@app.command()
def ps(app: AppOption = None, *, json: JsonOption = False) -> None:
    """List an app's instances, and what they use."""
    found = connect().get(f"{app_path(app)}/instances")
    output(json=json).table(
        ["Instance", "Process", "Release", "State", "CPU", "Memory", "Restarts", "Started"],
        [_instance(item) for item in found],
        found,
        none="Nothing runs. `slipway scale web=1` starts an instance.",
    )


def _instance(item: dict[str, Any]) -> list[object]:
    usage = item["usage"]
    return [
        item["id"],
        item["process"],
        _version(item["release"]),
        item["state"],
        f"{usage['cpu_millicores'] / 1000:.2f}" if usage else "",
        f"{bytes_of(usage['memory_bytes'])} of {bytes_of(usage['memory_limit'])}" if usage else "",
        item["restarts"],
        item["started_at"],
    ]


@app.command()
def scale(
    sizes: Annotated[
        list[str] | None,
        typer.Argument(help="PROCESS=COUNT, or PROCESS.cpu|memory|disk|processes=AMOUNT."),
    ] = None,
    app: AppOption = None,
    *,
    json: JsonOption = False,
) -> None:
    """Show or change the number and size of instances.

    Examples: `slipway scale web=3 worker=1`, `slipway scale web.memory=512M web.cpu=500`
    (CPU in thousandths of a processor).
    """
    portal = connect()
    path = f"{app_path(app)}/formation"
    found = portal.patch(path, _sizes(sizes)) if sizes else portal.get(path)
    rows = [
        [
            item["process"],
            item["count"],
            f"{item['cpu'] / 1000:g}",
            bytes_of(item["memory"]),
            bytes_of(item["disk"]),
            item["processes"],
        ]
        for item in found
    ]
    output(json=json).table(
        ["Process", "Instances", "CPU", "Memory", "Disk", "Processes"],
        rows,
        found,
        none="There is nothing to scale before the first deploy.",
    )


def _sizes(words: list[str]) -> dict[str, dict[str, int]]:
    """Return the API's body of `web=2 web.memory=512M`."""
    sizes: dict[str, dict[str, int]] = {}
    for word in words:
        name, equals, text = word.partition("=")
        process, _, field = name.partition(".")
        field = field or "count"
        if not equals or not process or field not in _FIELDS:
            raise CommandFailed(
                f"{word!r} is not a size.",
                hint="Write web=2, web.memory=512M, web.cpu=500, web.disk=1G or web.processes=100.",
                code=ExitCode.USAGE,
            )
        if field in {"memory", "disk"}:
            number = bytes_from(text)
        elif text.isdecimal():
            number = int(text)
        else:
            raise CommandFailed(
                f"{word!r}: {field} is a plain number.",
                hint="It has no unit. CPU is in thousandths of a processor.",
                code=ExitCode.USAGE,
            )
        sizes.setdefault(process, {})[field] = number
    return sizes


@app.command()
def restart(app: AppOption = None, *, quiet: QuietOption = False) -> None:
    """Start all instances again, one after the other."""
    connect().post(f"{app_path(app)}/restart")
    output(quiet=quiet).say("The instances start again, one after the other.")


@app.command()
def delete(app: AppOption = None, *, yes: YesOption = False) -> None:
    """Delete an app with its releases, images and logs."""
    name = app_of(app)
    ask(
        f"This deletes {name} with its releases, images and logs.",
        expected=name,
        assume=yes,
    )
    connect().delete(app_path(name), confirm=name)
    output().say(f"{name} is being deleted.")


def _version(release: int | None) -> str:
    return f"v{release}" if release is not None else ""
