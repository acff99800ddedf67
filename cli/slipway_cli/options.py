"""Options that many commands share, and the portal and output that they lead to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from slipway_cli import credentials, project
from slipway_cli.errors import CommandFailed
from slipway_cli.output import Output
from slipway_cli.project import part

if TYPE_CHECKING:  # its HTTP client is slow to import
    from slipway_cli.portal import Portal


def complete_app(incomplete: str) -> list[str]:
    """Return the apps whose names begin so, for the shell. It never fails: it only helps."""
    try:
        apps = connect().all_pages("/apps")
    except CommandFailed:
        return []
    return [app["name"] for app in apps if app["name"].startswith(incomplete)]


AppOption = Annotated[
    str | None,
    typer.Option(
        "--app",
        "-a",
        envvar="SLIPWAY_APP",
        help="The app. Default: that of the git remote `slipway`.",
        autocompletion=complete_app,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the API's JSON.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print results only.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def connect() -> Portal:
    """Return the portal in use. Raise CommandFailed if nobody is signed in."""
    from slipway_cli.portal import Portal  # see above

    return Portal(credentials.find())


def app_path(app: str | None) -> str:
    """Return the API's path of the app that a command is about."""
    return f"/apps/{part(project.app_of(app))}"


def output(*, json: bool = False, quiet: bool = False) -> Output:
    return Output(as_json=json, quiet=quiet)
