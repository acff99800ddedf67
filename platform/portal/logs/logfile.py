"""Read a log file while it grows: from any line, across a rotation, and after an interruption.

The format of a line is `TIMESTAMP SOURCE STREAM TEXT\n`. A line's id is the position of its end, as
`INODE-OFFSET` in hex, so a reader can continue directly after it. Only complete lines are returned.
Rotation renames the file to NAME.1.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Self

POLL_SECONDS = 0.2
_BLOCK = 2**16
_MOST_READ = 2**22  # the most bytes that are searched backwards for the last lines
_LONGEST = 2**20  # a longer line is returned in pieces of this size
_ID = re.compile(r"([0-9a-f]{1,16})-([0-9a-f]{1,16})")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One line. If the line does not have the expected format, `at` is None and `text` is the whole
    line."""

    id: str
    at: datetime | None
    source: str
    stream: str  # stdout, stderr or system
    text: str


async def follow(
    path: Path, *, after: str | None = None, done: Callable[[], Awaitable[bool]] | None = None
) -> AsyncIterator[LogLine]:
    """Yield the lines after the one with id `after` (or all lines) as they are written. Wait for a
    missing file.

    End when `done` returns True and everything written until then is read. Without `done`, never
    end.
    """
    with Reader(path, after=after) as reader:
        while True:
            over = done is not None and await done()
            while lines := reader.read():
                for line in lines:
                    yield line
            if over:
                return
            await asyncio.sleep(POLL_SECONDS)


def tail(path: Path, lines: int) -> list[LogLine]:
    """Return the last lines, oldest first, and continue in the rotated file if this one is short.
    Empty without a file."""
    found: list[LogLine] = []
    for candidate in (path, _rotated(path)):
        if len(found) < lines:
            found = _last_lines(candidate, lines - len(found)) + found
    return found


def parse_lines(data: bytes) -> list[LogLine]:
    """Parse a piece of a log that consists of complete lines. The ids of these lines are not
    usable."""
    return [parse_line(text, 0, 0) for text in data.split(b"\n")[:-1] if text]


class Reader:
    """The position of one reader in one log. `read` never waits."""

    def __init__(self, path: Path, *, after: str | None = None) -> None:
        self._path = path
        self._rest = b""
        self._file: BinaryIO | None = self._resume(after) if after else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def read(self) -> list[LogLine]:
        """Return some of the complete lines that were not read yet, or none if all were read."""
        if self._file is None:
            self._file = _open(self._path)
            if self._file is None:
                return []
        if not (block := self._file.read(_BLOCK)):
            if not self._is_rotated():
                return []
            # written between the last read and the rename
            if not (block := self._file.read(_BLOCK)):
                return self._switch()
        return self._split(block)

    def _split(self, block: bytes) -> list[LogLine]:
        assert self._file is not None
        inode = os.fstat(self._file.fileno()).st_ino
        data = self._rest + block
        offset = self._file.tell() - len(data)
        *whole, self._rest = data.split(b"\n")
        lines = []
        for text in whole:
            offset += len(text) + 1
            lines.append(parse_line(text, inode, offset))
        if len(self._rest) > _LONGEST:
            lines.append(parse_line(self._rest, inode, offset + len(self._rest)))
            self._rest = b""
        return lines

    def _switch(self) -> list[LogLine]:
        """The current file was renamed and is read to its end: open the new one."""
        assert self._file is not None
        self._file.close()
        self._file, self._rest = None, b""
        return self.read()

    def _is_rotated(self) -> bool:
        assert self._file is not None
        try:
            return self._path.stat().st_ino != os.fstat(self._file.fileno()).st_ino
        except FileNotFoundError:
            return False  # renamed, and the new file does not exist yet

    def _resume(self, after: str) -> BinaryIO | None:
        """Return the file of the id, opened at its offset.

        If the file was deleted or truncated, return the current file from its beginning.
        """
        match = _ID.fullmatch(after)
        for candidate in (self._path, _rotated(self._path)):
            if match is None or (file := _open(candidate)) is None:
                continue
            status, offset = os.fstat(file.fileno()), int(match[2], 16)
            if status.st_ino == int(match[1], 16) and offset <= status.st_size:
                file.seek(offset)
                return file
            file.close()
        return None


def _last_lines(path: Path, count: int) -> list[LogLine]:
    """Read blocks backwards until there are enough line ends. A first line that is too long is cut
    off at its start."""
    if (file := _open(path)) is None:
        return []
    with file:
        inode = os.fstat(file.fileno()).st_ino
        start = file.seek(0, os.SEEK_END)
        blocks: list[bytes] = []
        ends = read = 0
        while start > 0 and ends <= count and read < _MOST_READ:
            step = min(_BLOCK, start)
            start -= step
            file.seek(start)
            blocks.append(file.read(step))
            ends, read = ends + blocks[-1].count(b"\n"), read + step
    *whole, _ = b"".join(reversed(blocks)).split(b"\n")
    offset = start + sum(len(text) + 1 for text in whole[:-count])
    lines = []
    for text in whole[-count:]:
        offset += len(text) + 1
        lines.append(parse_line(text, inode, offset))
    return lines


def parse_line(line: bytes, inode: int, end: int) -> LogLine:
    """Parse a line without its line end. `inode` and `end`, the position after it, make its id."""
    text = line.decode(errors="replace").rstrip("\r")
    name = f"{inode:x}-{end:x}"
    parts = text.split(" ", 3)
    if len(parts) >= 3:
        try:
            at = datetime.fromisoformat(parts[0])
        except ValueError:
            pass
        else:
            return LogLine(
                id=name,
                at=at,
                source=parts[1],
                stream=parts[2],
                text=parts[3] if len(parts) == 4 else "",
            )
    return LogLine(id=name, at=None, source="", stream="stdout", text=text)


def _open(path: Path) -> BinaryIO | None:
    try:
        return path.open("rb", buffering=0)
    except FileNotFoundError:
        return None


def _rotated(path: Path) -> Path:
    return path.with_name(path.name + ".1")
