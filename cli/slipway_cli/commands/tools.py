"""Check this machine, and send any request to the API."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slipway_cli import __version__, credentials, project
from slipway_cli.errors import CommandFailed, ExitCode
from slipway_cli.options import connect, output

if TYPE_CHECKING:  # its HTTP client is slow to import
    pass

app = typer.Typer()


@app.command()
def doctor() -> None:
    """Check what the commands need: the portal, the token, git and the app's remote."""
    wrong = 0
    for name, state, remedy in _checks():
        print(f"{'ok   ' if not remedy else 'WRONG'}  {name}: {state}")
        if remedy:
            print(f"       {remedy}")
            wrong += 1
    if wrong:
        raise typer.Exit(ExitCode.FAILED)


def _checks() -> list[tuple[str, str, str]]:
    """Return the name, the state and the remedy of each check; an empty remedy: all is well."""
    checks = [("slipway", f"version {__version__}, Python {sys.version.split()[0]}", "")]
    has_git = shutil.which("git")
    checks.append(("git", has_git or "not found", "" if has_git else "Install git."))
    try:
        found = credentials.find()
    except CommandFailed as failure:
        return [*checks, ("signed in", failure.sentence, failure.hint)]
    checks.append(("portal", found.url, ""))
    from slipway_cli.portal import Portal

    try:
        portal = Portal(found)
        teams = portal.get("/teams")
    except CommandFailed as failure:
        return [*checks, ("token", failure.sentence, failure.hint)]
    checks.append(("token", f"accepted; {len(teams)} teams", ""))
    name = project.app_of_remote(project.remote_url())
    if name is None:
        return [*checks, ("app", "this folder belongs to no app", "")]
    try:
        checks.append(("app", portal.get(f"/apps/{name}")["status"], ""))
    except CommandFailed as failure:
        checks.append(("app", failure.sentence, "Run `slipway git remote --app NAME`."))
    return checks


@app.command()
def api(
    method: Annotated[str, typer.Argument(help="GET, POST, PUT, PATCH or DELETE.")],
    path: Annotated[str, typer.Argument(help="Below /api/v1, for example /apps.")],
    body: Annotated[
        str | None, typer.Argument(help="JSON, or @FILE, or - for standard input.")
    ] = None,
) -> None:
    """Send a request to the API and print the answer."""
    import json

    text = _text(body) if body is not None else None
    try:
        value = json.loads(text) if text is not None else None
    except ValueError as error:
        raise CommandFailed(f"The body is not JSON: {error}.", code=ExitCode.USAGE) from error
    response = connect().request(method.upper(), f"/{path.lstrip('/')}", value)
    print(response.text, end="" if response.text.endswith("\n") else "\n")


def _text(body: str) -> str:
    if body == "-":
        return sys.stdin.read()
    if not body.startswith("@"):
        return body
    try:
        return Path(body[1:]).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandFailed(
            f"{body[1:]} could not be read: {error}.", code=ExitCode.USAGE
        ) from error


@app.command("version")
def show_version() -> None:
    """Print the version."""
    output().json({"slipway-cli": __version__})
