"""Reading a log file while it grows: from any line on, over a rotation, and again after the reader was away.

One line is `TIMESTAMP SOURCE STREAM TEXT\\n`. A line's id is where it ends, as `INODE-OFFSET` in hex, so whoever read it last goes on
exactly behind it. Only whole lines are given out. Rotation is a rename of NAME to NAME.1.
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
_MOST_READ = 2**22  # bytes of the end of a log that are looked at for its last lines
_LONGEST = 2**20  # a line without an end is given out in pieces of this size
_ID = re.compile(r"([0-9a-f]{1,16})-([0-9a-f]{1,16})")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One line. `at` is None for a line that is not in the format; its text is then the whole of it."""

    id: str
    at: datetime | None
    source: str
    stream: str  # stdout, stderr or system
    text: str


async def follow(path: Path, *, after: str | None = None, done: Callable[[], Awaitable[bool]] | None = None) -> AsyncIterator[LogLine]:
    """Lines behind the one with id `after` (all, without it) as they are written; waits for a file that is not there yet.

    Ends once `done` said so and what was written until then is read; without `done`, never.
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
    """The last lines, oldest first, from the rotated file too where this one is short; none when there is no file."""
    found: list[LogLine] = []
    for candidate in (path, _rotated(path)):
        if len(found) < lines:
            found = _last_lines(candidate, lines - len(found)) + found
    return found


def parse_lines(data: bytes) -> list[LogLine]:
    """Lines of a piece of a log that begins and ends with whole ones. Their ids lead nowhere."""
    return [_parse(text, 0, 0) for text in data.split(b"\n")[:-1] if text]


class Reader:
    """Where one reader is in one log. `read` never waits."""

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
        """Some of the whole lines that are there and not read yet; empty when all are."""
        if self._file is None:
            self._file = _open(self._path)
            if self._file is None:
                return []
        if not (block := self._file.read(_BLOCK)):
            if not self._is_rotated():
                return []
            if not (block := self._file.read(_BLOCK)):  # what came between the last look and the rename
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
            lines.append(_parse(text, inode, offset))
        if len(self._rest) > _LONGEST:
            lines.append(_parse(self._rest, inode, offset + len(self._rest)))
            self._rest = b""
        return lines

    def _switch(self) -> list[LogLine]:
        """The renamed file is read to its end: go on with the new one."""
        assert self._file is not None
        self._file.close()
        self._file, self._rest = None, b""
        return self.read()

    def _is_rotated(self) -> bool:
        assert self._file is not None
        try:
            return self._path.stat().st_ino != os.fstat(self._file.fileno()).st_ino
        except FileNotFoundError:
            return False  # renamed, and nothing written since

    def _resume(self, after: str) -> BinaryIO | None:
        """The file the id is of, at its offset. A file that is gone or was cut since: from the beginning of today's."""
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
    """Read backwards in blocks until there are enough line ends; a first line that is too long is shown from its middle."""
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
        lines.append(_parse(text, inode, offset))
    return lines


def _parse(line: bytes, inode: int, end: int) -> LogLine:
    text = line.decode(errors="replace").rstrip("\r")
    name = f"{inode:x}-{end:x}"
    parts = text.split(" ", 3)
    if len(parts) >= 3:
        try:
            at = datetime.fromisoformat(parts[0])
        except ValueError:
            pass
        else:
            return LogLine(id=name, at=at, source=parts[1], stream=parts[2], text=parts[3] if len(parts) == 4 else "")
    return LogLine(id=name, at=None, source="", stream="stdout", text=text)


def _open(path: Path) -> BinaryIO | None:
    try:
        return path.open("rb", buffering=0)
    except FileNotFoundError:
        return None


def _rotated(path: Path) -> Path:
    return path.with_name(path.name + ".1")
