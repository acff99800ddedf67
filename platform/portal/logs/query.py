"""Search all kept lines of a log by text, level, source and time. Reads the files from their end,
without an index."""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from portal.logs.logfile import LogLine, parse_line

_BLOCK = 2**20  # bytes that are searched at a time
_LEVELS = {
    "error": re.compile(r"\b(error|fatal|critical|panic|traceback|exception)\b", re.IGNORECASE),
    "warning": re.compile(
        r"\b(error|fatal|critical|panic|traceback|exception|warn|warning)\b", re.IGNORECASE
    ),
}
# The name that the node's checks send (`runtime/converge/probing/probe_network.py`)
_CHECK_AGENT = "slipway-health/"
Level = Literal["", "error", "warning"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogQuery:
    """The wanted lines. Empty values match every line.

    `source` is a process type, `router`, `slipway` or another first part of a line's source.
    `instance` is the whole source of an instance. `checks_of` is the path of the health check whose
    requests are left out, or None to include them.
    """

    text: str = ""
    level: Level = ""
    source: str = ""
    instance: str = ""
    since: datetime | None = None
    until: datetime | None = None
    checks_of: str | None = None

    @property
    def is_narrow(self) -> bool:
        """Return True if lines other than those of health checks can be left out."""
        return bool(self.text or self.level or self.source or self.instance or self.since)

    def matches(self, line: LogLine) -> bool:
        """Return True for a wanted line. A line without a time matches no time range."""
        if self.source and line.source.partition(".")[0] != self.source:
            return False
        if self.instance and line.source != self.instance:
            return False
        if self.since is not None and (line.at is None or line.at < self.since):
            return False
        if self.until is not None and (line.at is None or line.at > self.until):
            return False
        if self.text and self.text.lower() not in f"{line.source} {line.text}".lower():
            return False
        if self.level and not _LEVELS[self.level].search(line.text):
            return False
        return not self._is_check(line)

    def _is_check(self, line: LogLine) -> bool:
        """Return True for a request of the health check in a log of requests."""
        if self.checks_of is None:
            return False
        if _CHECK_AGENT in line.text:
            return True
        # other clients may request the start page
        return self.checks_of not in ("", "/") and f"GET {self.checks_of} " in line.text


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Lines, oldest first. `has_older`: there are more matching lines before them."""

    lines: list[LogLine]
    has_older: bool


def search(path: Path, query: LogQuery, most: int) -> Found:
    """Return the newest `most` lines of the log and the rotated log that match."""
    found: list[LogLine] = []
    for line in matching_lines(path, query):
        if len(found) == most:
            return Found(lines=found[::-1], has_older=True)
        found.append(line)
    return Found(lines=found[::-1], has_older=False)


def matching_lines(path: Path, query: LogQuery) -> Iterator[LogLine]:
    """Yield all matching lines, newest first."""
    for candidate in (path, path.with_name(path.name + ".1")):
        try:
            file = candidate.open("rb")
        except FileNotFoundError:
            continue
        with file:
            if os.fstat(file.fileno()).st_size == 0:
                continue  # an empty file cannot be mapped
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                for line in _backwards(content, os.fstat(file.fileno()).st_ino, query):
                    if query.since is not None and line.at is not None and line.at < query.since:
                        return  # all others are older
                    if query.matches(line):
                        yield line


def _backwards(content: mmap.mmap, inode: int, query: LogQuery) -> Iterator[LogLine]:
    """Yield the complete lines, last first. Blocks and lines without the text are skipped before
    they are parsed."""
    wanted = query.text.lower().encode()
    end = content.rfind(b"\n") + 1
    while end > 0:
        start = content.rfind(b"\n", 0, max(end - _BLOCK, 0)) + 1
        block = content[start:end]
        place, end = end, start
        # Only the lower case of ASCII is the same in bytes and in text.
        skips = bool(wanted) and query.text.isascii()
        if skips and wanted not in block.lower() and query.since is None:
            continue
        for text in reversed(block[:-1].split(b"\n")):
            if not skips or wanted in text.lower():
                yield parse_line(text, inode, place)
            place -= len(text) + 1
