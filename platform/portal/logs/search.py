"""Find a line in a log, and the lines around it. Searches the file from its end, without an
index."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from portal.logs.logfile import LogLine, parse_lines

_AROUND = 2**18  # bytes that are read before and after the line


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """A line and its neighbours, oldest first."""

    line: LogLine
    before: Sequence[LogLine]
    after: Sequence[LogLine]


def find(path: Path, text: str) -> SearchResult | None:
    """Return the last line that contains `text`, in the log or the rotated log. None if there is no
    such line or file."""
    for candidate in (path, path.with_name(path.name + ".1")):
        try:
            with (
                candidate.open("rb") as file,
                mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
            ):
                if (place := content.rfind(text.encode())) >= 0:
                    return _around(content, place)
        except (FileNotFoundError, ValueError):  # ValueError: an empty file cannot be mapped
            continue
    return None


def _around(content: mmap.mmap, place: int) -> SearchResult:
    begin = content.rfind(b"\n", 0, place) + 1
    end = _end_of_line(content, place)
    first = content.rfind(b"\n", 0, max(begin - _AROUND, 0)) + 1
    last = _end_of_line(content, min(end + _AROUND, len(content) - 1))
    (line,) = parse_lines(content[begin:end])
    return SearchResult(
        line=line, before=parse_lines(content[first:begin]), after=parse_lines(content[end:last])
    )


def _end_of_line(content: mmap.mmap, place: int) -> int:
    found = content.find(b"\n", place)
    return len(content) if found < 0 else found + 1
