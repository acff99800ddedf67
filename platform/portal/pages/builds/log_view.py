"""The part of a build's log that its page shows: the end, the lines around one, or the matches of a
search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.utils.safestring import SafeString

from portal.builds import logs as build_logs
from portal.builds.models import Build
from portal.logs.logfile import LogLine
from portal.logs.numbered import (
    MOST_COUNTED,
    LogWindow,
    NumberedLine,
    number_after,
    search,
    window,
)
from portal.logs.numbered_rows import rows

SHOWN_LINES = 250
_BEFORE = 50  # lines before the one that the URL names
_LONGEST_SEARCH = 200
_HIGHEST = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class LogView:
    """Some lines of a build's log. `searched` is the text of a search, `line` the number of the
    line that the URL names."""

    window: LogWindow
    searched: str
    line: int | None

    @property
    def html(self) -> SafeString:
        """Return the lines as list items."""
        return rows(self.window.lines, marked=self.line, searched=self.searched)

    @property
    def follows(self) -> bool:
        """Return True if new lines belong at the end."""
        return not self.searched and self.window.has_end

    @property
    def earlier(self) -> int | None:
        """Return the number of the first line of the part before this one, or None."""
        is_first = self.searched or self.window.first == 1
        return None if is_first else max(self.window.first - SHOWN_LINES, 1)

    @property
    def later(self) -> int | None:
        """Return the number of the first line of the part after this one, or None."""
        return None if self.searched or self.window.has_end else self.window.last + 1

    @property
    def words(self) -> str:
        """Describe the lines."""
        if self.searched:
            more = "+" if self.window.matches == MOST_COUNTED else ""
            found = f"{self.window.matches:,}{more} of {self.window.total:,} lines"
            shown = len(self.window.lines)
            return found if self.window.matches == shown else f"{found}, the first {shown} shown"
        if self.window.total == len(self.window.lines):
            return ""
        return f"Lines {self.window.first:,} to {self.window.last:,} of {self.window.total:,}"


def view_of(build: Build, values: Mapping[str, str]) -> LogView:
    """Return the part that a query string asks for: `q`, `line` or `from`. Other values mean the
    end of the log."""
    path = build_logs.path_of(build)
    searched = values.get("q", "").strip()[:_LONGEST_SEARCH]
    if searched:
        return LogView(window=search(path, searched, SHOWN_LINES), searched=searched, line=None)
    line = _number(values.get("line", ""))
    first = max(line - _BEFORE, 1) if line else _number(values.get("from", "")) or _HIGHEST
    return LogView(window=window(path, first, SHOWN_LINES), searched="", line=line)


class NewLines:
    """Renders new lines of a build's log. Their numbers continue after the line with id `after`."""

    def __init__(self, build: Build, after: str) -> None:
        self._next = number_after(build_logs.path_of(build), after) if after else 1

    def html(self, lines: Sequence[LogLine]) -> str:
        """Return the lines as list items."""
        numbered = [
            NumberedLine(number=self._next + index, line=line) for index, line in enumerate(lines)
        ]
        self._next += len(lines)
        return rows(numbered)


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and 0 < len(text) < 10 else None
