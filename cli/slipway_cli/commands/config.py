"""Config vars: the environment of an app."""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from dotenv import dotenv_values

from slipway_cli.errors import CommandFailed, ExitCode
from slipway_cli.options import AppOption, JsonOption, app_path, connect, output

app = typer.Typer(no_args_is_help=False)

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+,-]+")


@app.callback(invoke_without_command=True)
def show(context: typer.Context, app: AppOption = None, *, json: JsonOption = False) -> None:
    """Show or change config vars. Each change makes a release and restarts the app."""
    if context.invoked_subcommand is None:
        found = connect().get(f"{app_path(app)}/config")
        config = found["config"]
        shown = {**config, **dict.fromkeys(found.get("secret", ()), "(secret)")}
        output(json=json).table(
            ["Name", "Value"],
            [[name, shown[name]] for name in sorted(shown)],
            config,
            none="No config vars are set.",
        )


@app.command()
def get(name: str, app: AppOption = None) -> None:
    """Print one value."""
    found = connect().get(f"{app_path(app)}/config")
    config = found["config"]
    if name in found.get("secret", ()):
        raise CommandFailed(
            f"{name} is secret, so its value is not shown.",
            hint=f"To replace it: slipway config set {name}=VALUE",
            code=ExitCode.FAILED,
        )
    if name not in config:
        raise CommandFailed(
            f"{name} is not set.", hint="`slipway config` lists all.", code=ExitCode.NOT_FOUND
        )
    print(config[name])


@app.command("set")
def set_values(
    pairs: Annotated[list[str], typer.Argument(help="NAME=VALUE; NAME=- reads standard input.")],
    app: AppOption = None,
    *,
    json: JsonOption = False,
) -> None:
    """Set config vars."""
    changes: dict[str, str | None] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not _NAME.fullmatch(name):
            raise CommandFailed(
                f"{pair!r} is not NAME=VALUE.",
                hint="A name has letters, digits and underscores, and starts with no digit.",
                code=ExitCode.USAGE,
            )
        changes[name] = sys.stdin.read() if value == "-" else value
    _apply(app, changes, json=json)


@app.command()
def unset(names: list[str], app: AppOption = None, *, json: JsonOption = False) -> None:
    """Remove config vars."""
    _apply(app, dict.fromkeys(names), json=json)


@app.command("import")
def import_file(
    file: Annotated[str, typer.Argument(help="A .env file, or - for standard input.")],
    app: AppOption = None,
    *,
    json: JsonOption = False,
) -> None:
    """Set every var of a .env file. Others stay as they are."""
    _apply(app, dict(_read(file)), json=json)


@app.command()
def export(app: AppOption = None) -> None:
    """Print all config vars as a .env file."""
    print(_written(connect().get(f"{app_path(app)}/config")["config"]), end="")


@app.command()
def diff(
    file: Annotated[str, typer.Argument(help="A .env file, or - for standard input.")],
    app: AppOption = None,
) -> None:
    """Compare a .env file with the app: + would be added, ~ changed, - is only in the app.

    Values are not printed. The exit code is 1 if there is a difference.
    """
    current = connect().get(f"{app_path(app)}/config")["config"]
    wanted = _read(file)
    lines = [
        *(f"+ {name}" for name in sorted(wanted.keys() - current.keys())),
        *(
            f"~ {name}"
            for name in sorted(wanted.keys() & current.keys())
            if wanted[name] != current[name]
        ),
        *(f"- {name}" for name in sorted(current.keys() - wanted.keys())),
    ]
    for line in lines:
        print(line)
    if lines:
        raise typer.Exit(ExitCode.FAILED)


@app.command()
def edit(app: AppOption = None, *, json: JsonOption = False) -> None:
    """Edit all config vars as a .env file in $EDITOR. Removed lines unset their vars."""
    current = connect().get(f"{app_path(app)}/config")["config"]
    wanted = _parse(_edited(_written(current)), "what you wrote")
    changes: dict[str, str | None] = {
        name: value for name, value in wanted.items() if current.get(name) != value
    }
    changes |= dict.fromkeys(current.keys() - wanted.keys())
    if not changes:
        output().say("Nothing was changed.")
        return
    _apply(app, changes, json=json)


def _apply(app: str | None, changes: dict[str, str | None], *, json: bool) -> None:
    changed = connect().patch(f"{app_path(app)}/config", {"changes": changes})
    release = changed["release"]
    then = f"v{release} rolls out with them." if release else "They count from the first deploy."
    output(json=json).result(f"{', '.join(sorted(changes))}: saved. {then}", changed)


def _edited(text: str) -> str:
    """Return a text after the person's editor. The file is theirs alone, and is removed."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    with tempfile.TemporaryDirectory(prefix="slipway-") as folder:
        file = Path(folder) / "config.env"
        file.write_text(text, "utf-8")
        try:
            subprocess.run([*shlex.split(editor), str(file)], check=True)
        except (OSError, ValueError, subprocess.CalledProcessError) as error:
            raise CommandFailed(
                f"The editor {editor} failed: {error}. Nothing was changed.",
                hint="Name another one in EDITOR.",
            ) from error
        return file.read_text("utf-8")


def _read(file: str) -> dict[str, str]:
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandFailed(
            f"{file} could not be read: {error}.", hint="Name a .env file.", code=ExitCode.USAGE
        ) from error
    return _parse(text, file)


def _parse(text: str, source: str) -> dict[str, str]:
    """Return the vars of a .env text. ${NAME} is not replaced: the app receives it as written."""
    values = dotenv_values(stream=io.StringIO(text), interpolate=False)
    wrong = [name for name, value in values.items() if value is None or not _NAME.fullmatch(name)]
    if wrong:
        raise CommandFailed(
            f"{source} has lines that are not NAME=VALUE: {', '.join(wrong)}.",
            hint="Write one NAME=VALUE a line.",
            code=ExitCode.USAGE,
        )
    return {name: value for name, value in values.items() if value is not None}


def _written(config: dict[str, str]) -> str:
    """Return a .env text from which `_parse` reads the same values."""
    return "".join(f"{name}={_quoted(config[name])}\n" for name in sorted(config))


def _quoted(value: str) -> str:
    if _PLAIN.fullmatch(value):
        return value
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
