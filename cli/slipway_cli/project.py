"""The folder in which a command runs: the app that it belongs to, and its git repository."""

from __future__ import annotations

import subprocess
from pathlib import Path
from urllib.parse import quote, urlsplit

from slipway_cli.errors import CommandFailed, ExitCode

REMOTE = "slipway"


def app_of(named: str | None, folder: Path | None = None) -> str:
    """Return the app's name: as given, or that of the git remote `slipway`."""
    if named:
        return named
    if name := app_of_remote(remote_url(folder)):
        return name
    raise CommandFailed(
        "No app is named.",
        hint="Add --app NAME, set SLIPWAY_APP, or run `slipway git remote --app NAME` once in the"
        " app's repository.",
        code=ExitCode.USAGE,
    )


def part(name: object) -> str:
    """Return a name as one part of an API path."""
    return quote(str(name), safe="")


def app_of_remote(url: str | None) -> str | None:
    """Return the app's name in the address of its repository at the portal (/git/APP.git)."""
    path = urlsplit(url or "").path
    folder, _, name = path.rpartition("/")
    known = folder.endswith("/git") and name.endswith(".git")
    return name.removesuffix(".git") or None if known else None


def remote_url(folder: Path | None = None) -> str | None:
    """Return the address of the git remote `slipway`, if there is one."""
    return git("remote", "get-url", REMOTE, folder=folder)


def git(*words: str, folder: Path | None = None) -> str | None:
    """Return what a git command prints. None: it failed, or there is no git."""
    try:
        done = subprocess.run(
            ["git", *words], cwd=folder, capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
