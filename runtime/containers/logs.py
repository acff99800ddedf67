"""Reader of a container's output in the monitor's k8s-file format.

A line is `TIME stdout|stderr F|P TEXT`. P marks a part of a line that was longer than the
monitor's buffer, or has not ended; the rest follows.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PIECE = 4 * 1024 * 1024  # bytes per read; the monitor's lines are much shorter
_LONGEST = 1024 * 1024  # a longer line is returned in pieces


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of output, without the newline. `at` is a time of RFC 3339."""

    at: str
    stream: str
    text: str


class ConsoleReader:
    """Follows one console log.

    `offset` is the end of the last complete line that was read. A later reader can continue there.
    """

    def __init__(self, path: Path, offset: int = 0) -> None:
        self._path = path
        self.offset = offset
        self._parts: dict[str, tuple[str, str]] = {}

    def lines(self) -> Iterator[Line]:
        """Yield the lines since the last call.

        A call reads at most one piece of the file, so endless output cannot block the caller.
        """
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
        """Yield lines without an end. Call it after the container has exited."""
        for stream, (at, text) in self._parts.items():
            yield Line(at=at, stream=stream, text=text)
        self._parts.clear()

    def _new(self) -> list[bytes]:
        try:
            with self._path.open("rb") as file:
                # The log reached its greatest size, and the monitor started a new file.
                if os.fstat(file.fileno()).st_size < self.offset:
                    self.offset = 0
                file.seek(self.offset)
                whole, end, _ = file.read(_PIECE).rpartition(b"\n")
        except FileNotFoundError:
            return []
        self.offset += len(whole) + len(end)
        return whole.split(b"\n") if end else []


def last_lines(path: Path, count: int) -> list[Line]:
    """Return the last lines of a console log, for an error message."""
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return []
    reader = ConsoleReader(path, max(size - 65_536, 0))
    found = [*reader.lines(), *reader.rest()]
    return found[1:][-count:] if size > 65_536 else found[-count:]
