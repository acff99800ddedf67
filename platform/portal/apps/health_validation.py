"""Validate the settings of a health check. Returns the value to store, or raises
ValueRefused.

The bounds are those of `[health]` in a manifest (docs/manifest.md), so a check can move from one to
the other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from portal.apps.models import CheckKind, HealthSettings
from portal.errors import ValueRefused

LONGEST_COMMAND = 16 * 2**10  # characters; the same as for a command of the Procfile
NUMBERS: Mapping[str, tuple[str, float, float]] = {  # field: (name in messages, minimum, maximum)
    "timeout": ("The time for one check", 0.1, 30),
    "start_period": ("The start period", 0, 3600),
    "interval": ("The interval", 1, 3600),
    "attempts": ("The number of attempts", 1, 100),
}
FIELDS = ("kind", "path", "command", *NUMBERS)
_PATH = re.compile(r"/[!-~]{0,199}")


def default_of(field: str) -> str | float:
    """Return the default value of a field."""
    value: str | float = getattr(HealthSettings(), field)
    return value


def checked(changes: Mapping[str, object]) -> dict[str, str | float]:
    """Return the values to store; None becomes the default. ValueRefused names the wrong field."""
    return {
        field: _check(field, value)
        if value is not None or field not in FIELDS
        else default_of(field)
        for field, value in changes.items()
    }


def check_command(row: HealthSettings) -> None:
    """Check the rule across fields: a check by command needs a command."""
    if row.kind == CheckKind.COMMAND and not row.command:
        hint = (
            "Write a shell line that exits with 0 when the instance is healthy, or choose another"
            " kind."
        )
        raise ValueRefused("A check by command needs a command.", field="command", hint=hint)


def _check(field: str, value: object) -> str | float:
    if field in NUMBERS:
        return _number(field, value)
    if (check := {"kind": _kind, "path": _path, "command": _command}.get(field)) is None:
        raise ValueRefused(
            f"A health check has no field {field}.",
            field=field,
            hint=f"The fields are {', '.join(FIELDS)}.",
        )
    return check(value)


def _number(field: str, value: object) -> float:
    what, least, most = NUMBERS[field]
    kinds = (int,) if field == "attempts" else (int, float)
    if not isinstance(value, kinds) or isinstance(value, bool) or not least <= value <= most:
        unit = "whole number" if field == "attempts" else "number of seconds"
        raise ValueRefused(
            f"{what} cannot be {value}.",
            field=field,
            hint=f"Use a {unit} from {least:,} to {most:,}.",
        )
    return value


def _kind(value: object) -> str:
    if value not in CheckKind.values:
        raise ValueRefused(
            f"{value!r} is not a valid kind of health check.",
            field="kind",
            hint=f"Use one of {', '.join(CheckKind.values)}.",
        )
    return str(value)


def _path(value: object) -> str:
    path = value.strip() if isinstance(value, str) else ""
    if not _PATH.fullmatch(path):
        hint = (
            "Use a path like /healthz: it starts with a slash, has no spaces and at most 200"
            " characters."
        )
        raise ValueRefused(f"{value!r} is not a valid path.", field="path", hint=hint)
    return path


def _command(value: object) -> str:
    line = value.strip() if isinstance(value, str) else None
    if (
        line is None
        or any(sign in line for sign in "\0\r\n")
        or any("\ud800" <= sign <= "\udfff" for sign in line)
    ):
        raise ValueRefused(
            "This is not a valid command.",
            field="command",
            hint="Write one shell line, or the name of a script in the source.",
        )
    if len(line) > LONGEST_COMMAND:
        sentence = f"The command is longer than {LONGEST_COMMAND:,} characters."
        raise ValueRefused(sentence, field="command", hint="Put it into a script in the source.")
    return line
