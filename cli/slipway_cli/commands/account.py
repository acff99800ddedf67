"""Sign in and out, and the teams of this person."""

from __future__ import annotations

import sys
import webbrowser
from typing import TYPE_CHECKING, Annotated

import typer

from slipway_cli import credentials
from slipway_cli.credentials import Credentials
from slipway_cli.errors import CommandFailed, ExitCode
from slipway_cli.options import JsonOption, connect, output

if TYPE_CHECKING:  # its HTTP client is slow to import
    pass

app = typer.Typer()


@app.command()
def login(
    url: Annotated[str | None, typer.Argument(help="The portal's address.")] = None,
    *,
    browser: Annotated[
        bool, typer.Option(help="Open the page on which tokens are created.")
    ] = True,
) -> None:
    """Sign in with a token, which is stored for this user alone.

    The token is read from standard input: type or paste it, or `slipway login URL < FILE`.
    """
    known = url or credentials.default_url()
    if known is None:
        raise CommandFailed(
            "No portal is named.",
            hint="Run `slipway login URL`, with the address that you open in the browser.",
            code=ExitCode.USAGE,
        )
    address = credentials.portal_url(known)
    interactive = sys.stdin.isatty()
    if interactive:
        page = f"{address}/account"
        print(f"Create a token on {page} and paste it here.", file=sys.stderr)
        if browser:
            webbrowser.open(page)
    token = (
        typer.prompt("Token", hide_input=True, err=True) if interactive else sys.stdin.readline()
    )
    given = Credentials(url=address, token=str(token).strip())
    if not given.token:
        raise CommandFailed("The token is empty.", code=ExitCode.USAGE)
    from slipway_cli.portal import Portal

    teams = [team["name"] for team in Portal(given).get("/teams")]
    credentials.save(given)
    output().say(f"Signed in to {address}. Teams: {', '.join(teams) or 'none'}.")


@app.command()
def logout(
    url: Annotated[str | None, typer.Argument(help="The portal; default: the one in use.")] = None,
) -> None:
    """Forget a portal's token on this machine. Revoke it in the portal."""
    known = credentials.portal_url(url) if url else credentials.default_url()
    if known is None or not credentials.remove(known):
        raise CommandFailed("There was no token.", code=ExitCode.NOT_SIGNED_IN)
    output().say(f"The token for {known} is removed from this machine.")


@app.command()
def teams(*, json: JsonOption = False) -> None:
    """List your teams."""
    found = connect().get("/teams")
    output(json=json).table(
        ["Team"], [[team["name"]] for team in found], found, none="You are in no team."
    )
