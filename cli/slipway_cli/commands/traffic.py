"""Traffic settings of an app."""

from __future__ import annotations

import json as json_values
from typing import Annotated

import typer

from slipway_cli.errors import CommandFailed, ExitCode
from slipway_cli.options import AppOption, JsonOption, app_path, connect, output

app = typer.Typer()


@app.command()
def traffic(
    settings: Annotated[
        list[str] | None, typer.Argument(help="NAME=VALUE; an empty value restores the default.")
    ] = None,
    app: AppOption = None,
    *,
    json: JsonOption = False,
) -> None:
    """Show or change rollout, sleep, limits and access.

    Example: `slipway traffic way=canary sleep_minutes=30 https_only=true`. Values are JSON, or
    plain words.
    """
    portal, path = connect(), f"{app_path(app)}/traffic"
    found = portal.patch(path, _changes(settings)) if settings else portal.get(path)
    shown = {name: value for name, value in found.items() if value is not None}
    output(json=json).facts(
        {name: json_values.dumps(value) for name, value in shown.items()}, found
    )


@app.command()
def maintenance(
    state: Annotated[str, typer.Argument(help="on or off")], app: AppOption = None
) -> None:
    """Answer every request with the maintenance page, or serve the app again."""
    if state not in {"on", "off"}:
        raise CommandFailed(f"{state!r} is neither on nor off.", code=ExitCode.USAGE)
    connect().patch(f"{app_path(app)}/traffic", {"maintenance": state == "on"})
    output().say(f"Maintenance is {state}.")


def _changes(words: list[str]) -> dict[str, object]:
    changes: dict[str, object] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name:
            raise CommandFailed(
                f"{word!r} is not NAME=VALUE.",
                hint="`slipway traffic` lists the names.",
                code=ExitCode.USAGE,
            )
        changes[name] = _value(text)
    return changes


def _value(text: str) -> object:
    """Return a JSON value, the text itself, or None for an empty text."""
    if not text:
        return None
    try:
        return json_values.loads(text)
    except ValueError:
        return text
