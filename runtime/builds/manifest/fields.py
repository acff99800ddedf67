"""Read and validate the values of one table of a manifest.

Every error names the file, the key and the remedy. Pure.
"""

from __future__ import annotations

import difflib
import re
import zoneinfo
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import TypeVar

from cronsim import CronSim, CronSimError

from runtime.builds.manifest.procfile import LONGEST_COMMAND
from runtime.contract.manifest import Sizes
from runtime.contract.quantities import Bytes, Millicores
from runtime.errors import BadSource

NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
LONGEST_VALUE = 32 * 2**10
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)\s*(s|m|h)")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * SUN",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_FIELD = re.compile(r"[0-9A-Za-z*,/#-]{1,100}")
Choice = TypeVar("Choice", bound=StrEnum)


class Table:
    """A table at the path `place` ("" for the file itself)."""

    def __init__(self, file: str, place: str, values: Mapping[str, object]) -> None:
        self.file, self.place, self.values = file, place, values

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def wrong(self, key: str, what: str, hint: str) -> BadSource:
        """Return the error for one key."""
        return BadSource(f"{self.file}: {self._path(key)} {what}.", hint=hint)

    def unknown(self, known: Iterable[str]) -> list[str]:
        """Return the keys that are not among `known`."""
        return sorted(self.values.keys() - set(known))

    def only(self, known: Iterable[str]) -> None:
        """Raise BadSource for a key that is not among `known`, with the most similar key that
        is.
        """
        names = list(known)
        for key in self.unknown(names):
            near = difflib.get_close_matches(key, names, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"Known keys are {', '.join(names)}."
            raise self.wrong(key[:60], "is not a known key", hint)

    def text(self, key: str, default: str = "", *, most: int = 1000) -> str:
        """Return a string."""
        if key not in self.values:
            return default
        return self._text(key, self.values[key], most)

    def command(self, key: str) -> str:
        """Return a shell line."""
        line = self.text(key, most=LONGEST_COMMAND).strip()
        if key in self.values and not line:
            raise self.wrong(key, "is empty", "Write a shell command, or remove the key.")
        if "\n" in line or "\r" in line:
            raise self.wrong(
                key,
                "is more than one line",
                "Put it into a script in the source, and write the script's name here.",
            )
        return line

    def texts(self, key: str, *, most: int) -> tuple[str, ...]:
        """Return a list of strings."""
        found = self.values.get(key, [])
        if not isinstance(found, list) or len(found) > most:
            raise self.wrong(
                key, f"is {_shown(found)}", f"Write a list of at most {most} texts in quotes."
            )
        return tuple(self._text(key, value, 200) for value in found)

    def flag(self, key: str, default: bool = False) -> bool:
        """Return true or false."""
        found = self.values.get(key, default)
        if not isinstance(found, bool):
            raise self.wrong(key, f"is {_shown(found)}", "Write true or false.")
        return found

    def whole(self, key: str, default: int, *, least: int, most: int) -> int:
        """Return a whole number."""
        found = self.values.get(key, default)
        if not isinstance(found, int) or isinstance(found, bool) or not least <= found <= most:
            raise self.wrong(
                key, f"is {_shown(found)}", f"Write a whole number from {least} to {most}."
            )
        return found

    def seconds(self, key: str, default: float, *, least: float, most: float) -> float:
        """Return a duration in seconds: the file has a number of seconds, or a text with a unit."""
        found = self.values.get(key, default)
        match = _DURATION.fullmatch(found.strip()) if isinstance(found, str) else None
        if match is not None:
            found = float(match[1]) * _SECONDS[match[2]]
        if (
            isinstance(found, bool)
            or not isinstance(found, (int, float))
            or not least <= found <= most
        ):
            raise self.wrong(
                key,
                f"is {_shown(self.values.get(key))}",
                f'Write a duration from "{_duration(least)}" to "{_duration(most)}".',
            )
        return float(found)

    def choice(self, key: str, kind: type[Choice], default: Choice) -> Choice:
        """Return one of the values of `kind`."""
        found = self.values.get(key, default)
        try:
            return kind(found)  # type: ignore[arg-type]  # anything else is a ValueError, or for what cannot be hashed a TypeError
        except (ValueError, TypeError):
            raise self.wrong(
                key, f"is {_shown(found)}", f"Write one of {', '.join(kind)}."
            ) from None

    def sizes(self) -> Sizes:
        """Return `cpu`, `memory`, `disk` and `pids`; None for each that is missing."""
        pids = self.whole("pids", 128, least=8, most=2**31 - 1) if "pids" in self else None
        return Sizes(
            cpu=self._cpu(),
            memory=self._size("memory", 32 * 2**20),
            disk=self._size("disk", 16 * 2**20),
            pids=pids,
        )

    def size(self, key: str, least: int) -> Bytes:
        """Return a size in bytes. The key exists."""
        size = self._size(key, least)
        assert size is not None
        return size

    def table(self, key: str) -> Table:
        """Return a nested table; an empty table if there is none."""
        return self._table(key, self.values.get(key, {}))

    def named_tables(self, key: str) -> Iterator[tuple[str, Table]]:
        """Yield the name and the value of each table within a table."""
        outer = self.table(key)
        for name, value in outer.values.items():
            yield name, outer._table(name, value)

    def tables(self, key: str, *, most: int) -> Iterator[Table]:
        """Yield the tables of a list."""
        found = self.values.get(key, [])
        if not isinstance(found, list) or len(found) > most:
            raise self.wrong(
                key,
                (
                    "is not a list of tables"
                    if not isinstance(found, list)
                    else f"has more than {most} entries"
                ),
                "Correct it.",
            )
        for number, value in enumerate(found, start=1):
            yield self._table(f"{key} number {number}", value)

    def path(self, key: str) -> str:
        """Return the path of a file or folder of the source, without a slash at its end.

        The path is "" if the key is missing, or names the top of the source.
        """
        text = self.text(key, most=500)
        parts = [part for part in text.split("/") if part not in ("", ".")]
        if text.startswith("/") or ".." in parts or "\n" in text:
            raise self.wrong(
                key, f"is {_shown(text)}", "Write a path inside the source, relative to its top."
            )
        return "/".join(parts)

    def health_path(self, key: str) -> str:
        """Return the path that a GET of the health check requests."""
        path = self.text(key, "/")
        if not re.fullmatch(r"/[!-~]{0,199}", path):
            raise self.wrong(
                key,
                f"is {_shown(path)}",
                "Write a path like /healthz: it starts with a slash, has no spaces, and at most 200"
                " characters.",
            )
        return path

    def schedule(self, key: str) -> str:
        """Return five fields of crontab(5)."""
        text = self.text(key, most=300).strip()
        if not text:
            raise self.wrong(key, "is missing", 'Write for example "*/15 * * * *" or "@daily".')
        line = " ".join(_ALIASES.get(text.lower(), text).split())
        parts = line.split(" ")
        try:
            if len(parts) != 5 or not all(_FIELD.fullmatch(part) for part in parts):
                raise CronSimError("it must have five fields")
            next(CronSim(line, datetime(2024, 1, 1, tzinfo=UTC)))
        except StopIteration:
            raise self.wrong(
                key, f"{_shown(text)} never occurs", "Correct the day and the month."
            ) from None
        except (
            CronSimError,
            AssertionError,
            TypeError,
            ValueError,
        ) as error:  # cronsim raises the last three for some combinations of L, # and steps
            why = (
                f": {str(error)[:1].lower()}{str(error)[1:]}"
                if isinstance(error, CronSimError)
                else ""
            )
            raise self.wrong(
                key,
                f"{_shown(text)} is not a valid schedule{why}",
                'Write minute, hour, day, month, weekday: "0 7 * * MON-FRI".',
            ) from None
        return line

    def timezone(self, key: str) -> str:
        """Return a name of the time zone database."""
        name = self.text(key, "UTC", most=100)
        try:
            zoneinfo.ZoneInfo(name)
        except (KeyError, ValueError, OSError):
            raise self.wrong(
                key,
                f"is {_shown(name)}, which is not a known time zone",
                "Write for example Europe/Berlin or UTC.",
            ) from None
        return name

    def variable_name(self, name: str) -> str:
        """Return the name of a config var if it is valid."""
        if not VARIABLE.fullmatch(name):
            hint = "Use at most 128 letters, digits and underscores, and do not start with a digit."
            raise self.wrong(name[:60], "cannot be the name of a config var", hint)
        if name == "PORT":
            raise self.wrong(
                name,
                "is set by Slipway for each instance",
                "Remove it, and let the app listen on the port in it.",
            )
        return name

    def process_name(self, name: str) -> str:
        """Return the name of a process type or job if it is valid."""
        if not NAME.fullmatch(name):
            raise self.wrong(
                name[:60],
                "cannot be a name",
                "Use up to 63 letters, digits, - and _. Start and end with a letter or digit.",
            )
        return name

    def _cpu(self) -> Millicores | None:
        if "cpu" not in self:
            return None
        found = self.values["cpu"]
        if (
            isinstance(found, bool)
            or not isinstance(found, (int, float))
            or not 0.05 <= found <= 1024
        ):
            raise self.wrong(
                "cpu",
                f"is {_shown(found)}",
                "Write a number of cores of at least 0.05, for example 0.5.",
            )
        return Millicores(round(found * 1000))

    def _size(self, key: str, least: int) -> Bytes | None:
        if key not in self:
            return None
        found = self.values[key]
        try:
            size = Bytes.parse(found) if isinstance(found, str) and len(found) < 40 else found
        except ValueError:
            size = None
        if isinstance(size, bool) or not isinstance(size, int) or not least <= size <= 2**53:
            raise self.wrong(
                key,
                f"is {_shown(found)}",
                f'Write a size of at least {Bytes(least)}, for example "512M".',
            )
        return Bytes(size)

    def _text(self, key: str, value: object, most: int) -> str:
        if not isinstance(value, str):
            raise self.wrong(key, f"is {_shown(value)}", "Write it as text, in quotes.")
        if len(value) > most:
            raise self.wrong(key, f"is longer than {most:,} characters", "Shorten it.")
        if "\0" in value or any("\ud800" <= sign <= "\udfff" for sign in value):
            raise self.wrong(
                key,
                "has characters that environment variables and pages do not allow",
                "Remove them.",
            )
        return value

    def _table(self, key: str, value: object) -> Table:
        if not isinstance(value, dict):
            raise self.wrong(key, f"is {_shown(value)}", "Make it a table of keys and values.")
        return Table(self.file, self._path(key), value)

    def _path(self, key: str) -> str:
        return f"{self.place}.{key}" if self.place else key


def _shown(value: object) -> str:
    """Return a value as an error message quotes it."""
    match value:
        case None:
            return "missing"
        case bool():
            return "true" if value else "false"
        case str():
            return repr(value[:60])
        case dict():
            return "a table"
        case list():
            return "a list"
        case int() if abs(value) >= 2**63:
            return "a huge number"
        case _:
            return str(value)[:60]


def _duration(seconds: float) -> str:
    if seconds >= 3600:
        return f"{seconds / 3600:g}h"
    return f"{seconds / 60:g}m" if seconds >= 120 else f"{seconds:g}s"
