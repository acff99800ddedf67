"""Deploy by `git push`: the remote, and the branch that deploys."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit, urlunsplit

import typer

from slipway_cli import credentials
from slipway_cli.errors import CommandFailed
from slipway_cli.options import AppOption, JsonOption, app_path, connect, output
from slipway_cli.output import Output
from slipway_cli.project import REMOTE, git, remote_url

if TYPE_CHECKING:  # its HTTP client is slow to import
    from slipway_cli.portal import Portal

app = typer.Typer()
commands = typer.Typer(no_args_is_help=True, help="Deploy by `git push`.")
app.add_typer(commands, name="git")


@commands.command()
def remote(
    app: Annotated[str, typer.Option("--app", "-a", envvar="SLIPWAY_APP", help="The app.")],
) -> None:
    """Add the git remote `slipway`, and let git ask this command for the token."""
    portal = connect()
    name = portal.get(app_path(app))["name"]
    if git("rev-parse", "--git-dir") is None:
        raise CommandFailed("This folder is not in a git repository.", hint="Run `git init` first.")
    add_remote(portal, name, output())


@commands.command()
def branch(
    name: Annotated[
        str | None, typer.Argument(help="The branch whose pushes deploy; empty: any.")
    ] = None,
    app: AppOption = None,
    *,
    json: JsonOption = False,
) -> None:
    """Show or set the branch that deploys."""
    portal, path = connect(), f"{app_path(app)}/git"
    found = portal.get(path) if name is None else portal.patch(path, {"branch": name or None})
    output(json=json).facts({"Branch": found["branch"] or "main or master"}, found)


@commands.command(hidden=True)
def credential(action: str) -> None:
    """Answer git's question for a user name and password (git-credential(1))."""
    asked = dict(line.strip().partition("=")[::2] for line in sys.stdin)
    url = f"{asked.get('protocol', '')}://{asked.get('host', '')}"
    if action == "get" and (found := credentials.for_portal(url)) is not None:
        print("username=token")
        print(f"password={found.token}")


def add_remote(portal: Portal, name: str, shown: Output) -> None:
    """Let the remote `slipway` lead to an app. The token is in no file of the repository.

    git asks `slipway git credential` for it, for this portal alone (gitcredentials(7)).
    """
    parts = urlsplit(portal.url)
    origin = urlunsplit((parts.scheme, parts.netloc, "", "", ""))
    url = f"{origin}/git/{name}.git"
    verb = "add" if remote_url() is None else "set-url"
    if git("remote", verb, REMOTE, url) is None:
        raise CommandFailed(
            f"git could not set the remote {REMOTE}.", hint=f"Run `git remote add {REMOTE} {url}`."
        )
    git("config", f"credential.{origin}.helper", "!slipway git credential")
    shown.say(f"`git push {REMOTE}` deploys to {name}.")
