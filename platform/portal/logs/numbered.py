"""Read the lines of a log by their numbers, from 1, and search them. For logs that are never
rotated. There is no index: counting the lines of the largest build log takes some milliseconds."""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from portal.logs.logfile import LogLine, parse_line

MOST_COUNTED = 10_000  # matches that a search counts
_BLOCK = 2**20  # bytes that are searched at a time
_ID = re.compile(r"[0-9a-f]{1,16}-([0-9a-f]{1,16})")


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberedLine:
    """A line with its number in the log."""

    number: int
    line: LogLine


@dataclass(frozen=True, slots=True, kw_only=True)
class LogWindow:
    """Consecutive lines of a log, or the matches of a search. `total` is the number of all lines,
    `matches` the number of all matches (at most MOST_COUNTED)."""

    lines: tuple[NumberedLine, ...]
    total: int
    matches: int = 0

    @property
    def first(self) -> int:
        return self.lines[0].number if self.lines else 1

    @property
    def last(self) -> int:
        return self.lines[-1].number if self.lines else 0

    @property
    def has_end(self) -> bool:
        """Return True if no line follows."""
        return self.last == self.total

    @property
    def place(self) -> str:
        """Return the id of the last line; empty if there are no lines."""
        return self.lines[-1].line.id if self.lines else ""


def window(path: Path, first: int, most: int) -> LogWindow:
    """Return `most` lines from number `first`. A number beyond the end returns the last lines.

    Without a file, return no lines.
    """
    with _content(path) as (content, inode):
        total = _lines_before(content, len(content))
        first = max(min(first, total - most + 1), 1)
        start = _start_of(content, first)
        lines = []
        for number in range(first, min(first + most, total + 1)):
            end = content.find(b"\n", start)
            lines.append(
                NumberedLine(number=number, line=parse_line(content[start:end], inode, end + 1))
            )
            start = end + 1
    return LogWindow(lines=tuple(lines), total=total)


def search(path: Path, text: str, most: int) -> LogWindow:
    """Return the first `most` lines that contain a text. Case matters only outside ASCII."""
    wanted = text.lower().encode() if text.isascii() else text.encode()
    with _content(path) as (content, inode):
        lines: list[NumberedLine] = []
        matches = total = 0
        for start, block in _blocks(content):
            lowered = block.lower()
            for begin, end in _places(lowered, wanted):
                matches += 1
                if len(lines) < most:
                    number = total + block.count(b"\n", 0, begin) + 1
                    line = parse_line(block[begin:end], inode, start + end + 1)
                    lines.append(NumberedLine(number=number, line=line))
                if matches == MOST_COUNTED:
                    break
            total += block.count(b"\n")
            if matches == MOST_COUNTED:
                total = _lines_before(content, len(content))
                break
    return LogWindow(lines=tuple(lines), total=total, matches=matches)


def number_after(path: Path, place: str) -> int:
    """Return the number of the line that follows the line with this id. An unknown id means 1."""
    match = _ID.fullmatch(place)
    with _content(path) as (content, _):
        if match is None:
            return 1
        return _lines_before(content, min(int(match[1], 16), len(content))) + 1


@contextmanager
def _content(path: Path) -> Iterator[tuple[mmap.mmap | bytes, int]]:
    """Yield the complete lines of a file, and its inode."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        yield b"", 0
        return
    with file:
        status = os.fstat(file.fileno())
        if status.st_size == 0:  # cannot be mapped
            yield b"", status.st_ino
            return
        with mmap.mmap(file.fileno(), status.st_size, access=mmap.ACCESS_READ) as content:
            yield content, status.st_ino


def _blocks(content: mmap.mmap | bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the offset and bytes of pieces that consist of complete lines."""
    start, last = 0, content.rfind(b"\n") + 1
    while start < last:
        end = content.rfind(b"\n", start, start + _BLOCK) + 1
        if end == 0:  # a line that is longer than a block
            end = content.find(b"\n", start) + 1
        yield start, content[start:end]
        start = end


def _lines_before(content: mmap.mmap | bytes, end: int) -> int:
    return sum(
        content[start : min(start + _BLOCK, end)].count(b"\n") for start in range(0, end, _BLOCK)
    )


def _start_of(content: mmap.mmap | bytes, number: int) -> int:
    """Return the offset of a line that exists, or 0."""
    before = 0
    for start, block in _blocks(content):
        count = block.count(b"\n")
        if before + count >= number:
            place = 0
            for _ in range(number - 1 - before):
                place = block.index(b"\n", place) + 1
            return start + place
        before += count
    return 0


def _places(block: bytes, wanted: bytes) -> Iterator[tuple[int, int]]:
    """Yield the begin and end of each line whose source or text contains `wanted`."""
    place = 0
    while (found := block.find(wanted, place)) >= 0:
        begin, end = block.rfind(b"\n", 0, found) + 1, block.index(b"\n", found)
        stamp, _, rest = block[begin:end].partition(b" ")
        source, _, rest = rest.partition(b" ")
        text = rest.partition(b" ")[2]
        if wanted in text or wanted in source or not (stamp and source):
            yield begin, end
        place = end + 1
