"""What each setting of a health check may be. Pure: a value in, the value to store out, or ValueRefused for its field.

The bounds are those of `[health]` in an app's file (docs/manifest.md), so that a check can move from one to the other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from portal.apps.models import CheckKind, HealthSettings
from portal.errors import ValueRefused

LONGEST_COMMAND = 16 * 2**10  # characters; as long as one of the Procfile
NUMBERS: Mapping[str, tuple[str, float, float]] = {  # field: what it is called, the least, the most
    "timeout": ("The time for one check", 0.1, 30),
    "start_period": ("The start period", 0, 3600),
    "interval": ("The interval", 1, 3600),
    "attempts": ("The number of attempts", 1, 100),
}
FIELDS = ("kind", "path", "command", *NUMBERS)
_PATH = re.compile(r"/[!-~]{0,199}")


def usual(field: str) -> str | float:
    """What holds where nobody says otherwise."""
    value: str | float = getattr(HealthSettings(), field)
    return value


def checked(changes: Mapping[str, object]) -> dict[str, str | float]:
    """Every change as it is to be stored; None is the usual value. ValueRefused names the field."""
    return {field: _check(field, value) if value is not None or field not in FIELDS else usual(field) for field, value in changes.items()}


def check_command(row: HealthSettings) -> None:
    """What no field says alone: that there is something to run."""
    if row.kind == CheckKind.COMMAND and not row.command:
        hint = "Write the shell line that ends with 0 when the instance is well, or choose another kind."
        raise ValueRefused("A check by command needs a command.", field="command", hint=hint)


def _check(field: str, value: object) -> str | float:
    if field in NUMBERS:
        return _number(field, value)
    if (check := {"kind": _kind, "path": _path, "command": _command}.get(field)) is None:
        raise ValueRefused(f"A health check has no {field}.", field=field, hint=f"It has {', '.join(FIELDS)}.")
    return check(value)


def _number(field: str, value: object) -> float:
    what, least, most = NUMBERS[field]
    kinds = (int,) if field == "attempts" else (int, float)
    if not isinstance(value, kinds) or isinstance(value, bool) or not least <= value <= most:
        unit = "whole number" if field == "attempts" else "number of seconds"
        raise ValueRefused(f"{what} cannot be {value}.", field=field, hint=f"It is a {unit} from {least:,} to {most:,}.")
    return value


def _kind(value: object) -> str:
    if value not in CheckKind.values:
        raise ValueRefused(f"There is no health check of kind {value!r}.", field="kind", hint=f"There are {', '.join(CheckKind.values)}.")
    return str(value)


def _path(value: object) -> str:
    path = value.strip() if isinstance(value, str) else ""
    if not _PATH.fullmatch(path):
        hint = "Write it like /healthz: a slash first, no spaces, at most 200 characters."
        raise ValueRefused(f"{value!r} cannot be a health path.", field="path", hint=hint)
    return path


def _command(value: object) -> str:
    line = value.strip() if isinstance(value, str) else None
    if line is None or any(sign in line for sign in "\0\r\n") or any("\ud800" <= sign <= "\udfff" for sign in line):
        raise ValueRefused("This cannot be a command.", field="command", hint="Write one shell line, or name a script of the source.")
    if len(line) > LONGEST_COMMAND:
        sentence = f"The command is longer than {LONGEST_COMMAND:,} characters."
        raise ValueRefused(sentence, field="command", hint="Put it into a script of the source.")
    return line
