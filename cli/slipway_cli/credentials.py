"""The portals and tokens of this user, in a file that only the user can read.

The environment has priority: SLIPWAY_URL and SLIPWAY_TOKEN, for CI.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import typer

from slipway_cli.errors import CommandFailed, ExitCode

URL, TOKEN = "SLIPWAY_URL", "SLIPWAY_TOKEN"


@dataclass(frozen=True, slots=True)
class Credentials:
    """A portal's URL, without a slash at its end, and a token for it."""

    url: str
    token: str


def path() -> Path:
    """Return the file. SLIPWAY_CREDENTIALS names another one."""
    named = os.environ.get("SLIPWAY_CREDENTIALS")
    return Path(named) if named else Path(typer.get_app_dir("slipway")) / "credentials.json"


def portal_url(text: str) -> str:
    """Return the URL of a portal as it is stored. Raise CommandFailed if it is not one.

    Without a scheme it is https, or http for this machine.
    """
    host = text.partition("/")[0].partition(":")[0]
    local = host == "localhost" or host.endswith(".localhost") or host.startswith("127.")
    url = text if "://" in text else f"{'http' if local else 'https'}://{text}"
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username is not None:
        raise CommandFailed(
            f"{text!r} is not the address of a portal.",
            hint="Write it as in the browser, for example https://slipway.example.com.",
            code=ExitCode.USAGE,
        )
    return f"{parts.scheme}://{parts.netloc}"


def find(environment: Mapping[str, str] = os.environ) -> Credentials:
    """Return the credentials in use. Raise CommandFailed if there are none."""
    stored = _read()
    named = environment.get(URL)
    url = portal_url(named) if named else str(stored.get("default") or "")
    token = environment.get(TOKEN) or str(_portals(stored).get(url) or "")
    if url and token:
        return Credentials(url=url, token=token)
    raise CommandFailed(
        f"There is no token for {url}." if url else "You are not signed in.",
        hint=f"Run `slipway login {url or 'URL'}`, or set {URL} and {TOKEN}.",
        code=ExitCode.NOT_SIGNED_IN,
    )


def for_portal(url: str, environment: Mapping[str, str] = os.environ) -> Credentials | None:
    """Return the credentials for this portal alone, or None: no other portal may see a token."""
    named = environment.get(URL)
    token = environment.get(TOKEN) if named and portal_url(named) == url else None
    token = token or str(_portals(_read()).get(url) or "")
    return Credentials(url=url, token=token) if token else None


def save(credentials: Credentials) -> None:
    """Store a token. Its portal becomes the default."""
    stored = _read()
    portals = {**_portals(stored), credentials.url: credentials.token}
    _write({"default": credentials.url, "portals": portals})


def remove(url: str) -> bool:
    """Remove a portal's token. Return whether there was one."""
    stored = _read()
    portals = dict(_portals(stored))
    known = portals.pop(url, None) is not None
    default = stored.get("default")
    if default == url:
        default = next(iter(portals), None)
    if known:
        _write({"default": default, "portals": portals})
    return known


def default_url() -> str | None:
    """Return the URL of the default portal, if there is one."""
    named = os.environ.get(URL)
    return portal_url(named) if named else str(_read().get("default") or "") or None


def _portals(stored: Mapping[str, object]) -> Mapping[str, object]:
    portals = stored.get("portals")
    return portals if isinstance(portals, dict) else {}


def _read() -> dict[str, object]:
    file = path()
    try:
        document = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise CommandFailed(
            f"{file} could not be read: {error}.",
            hint="Repair or delete the file, then run `slipway login`.",
            code=ExitCode.NOT_SIGNED_IN,
        ) from error
    return document if isinstance(document, dict) else {}


def _write(document: dict[str, object]) -> None:
    """Replace the file in one step. Nobody else can read it at any time."""
    file = path()
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        new = file.with_name(f".{file.name}.{os.getpid()}")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            json.dump(document, stream, indent=2)
            stream.write("\n")
        new.replace(file)
    except OSError as error:
        raise CommandFailed(
            f"The token could not be stored in {file}: {error}.",
            hint="Make the folder writable, or name another file in SLIPWAY_CREDENTIALS.",
        ) from error
