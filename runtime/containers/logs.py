"""Reading what a container printed, as its monitor keeps it (the k8s-file format): `TIME stdout|stderr F|P TEXT`.

P is a part of a line that was longer than the monitor's buffer, or not ended; the rest follows.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PIECE = 4 * 1024 * 1024  # read at a time; the monitor's lines are far shorter
_LONGEST = 1024 * 1024  # a line without end is given out in pieces


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One printed line, without its end. `at` is RFC 3339."""

    at: str
    stream: str
    text: str


class ConsoleReader:
    """Follows one console log from an offset; `offset` is where whole lines were read up to, to go on from later."""

    def __init__(self, path: Path, offset: int = 0) -> None:
        self._path = path
        self.offset = offset
        self._parts: dict[str, tuple[str, str]] = {}

    def lines(self) -> Iterator[Line]:
        """Lines that are new since the last call, a piece of the file at most: who prints without end holds nobody in here."""
        for raw in self._new():
            at, _, rest = raw.decode(errors="replace").partition(" ")
            stream, _, rest = rest.partition(" ")
            kind, _, text = rest.partition(" ")
            first, before = self._parts.pop(stream, (at, ""))
            if kind == "P" and len(before) + len(text) < _LONGEST:
                self._parts[stream] = (first, before + text)
            else:
                yield Line(at=first, stream=stream, text=before + text)

    def rest(self) -> Iterator[Line]:
        """Begun lines that were never ended; for when the container has exited."""
        for stream, (at, text) in self._parts.items():
            yield Line(at=at, stream=stream, text=text)
        self._parts.clear()

    def _new(self) -> list[bytes]:
        try:
            with self._path.open("rb") as file:
                if os.fstat(file.fileno()).st_size < self.offset:  # grown to its greatest length, and begun anew by the monitor
                    self.offset = 0
                file.seek(self.offset)
                whole, end, _ = file.read(_PIECE).rpartition(b"\n")
        except FileNotFoundError:
            return []
        self.offset += len(whole) + len(end)
        return whole.split(b"\n") if end else []


def last_lines(path: Path, count: int) -> list[Line]:
    """The end of a console log, for a failure's message."""
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return []
    reader = ConsoleReader(path, max(size - 65_536, 0))
    found = [*reader.lines(), *reader.rest()]
    return found[1:][-count:] if size > 65_536 else found[-count:]
