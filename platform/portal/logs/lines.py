"""Render log lines as HTML list items. Python code does it: a template per line would be too
slow."""

from __future__ import annotations

import re
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import date

from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from portal.logs.logfile import LogLine
from portal.plaintext import printable
from runtime.contract.code_meanings import meaning_of

_ERRORS = ("error", "fatal", "critical", "panic", "traceback")
# The places of error codes in a line, by its source. Apps may print anything, so only lines of the
# platform are searched.
_CODES = {"router": re.compile(r"(?<= code=)[A-Z]\d\d\b"), "slipway": re.compile(r"^[A-Z]\d\d\b")}


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPiece:
    """Some lines in order."""

    lines: Sequence[LogLine]
    marked: AbstractSet[int] = frozenset()  # indices of highlighted lines
    day: date | None = None  # of the line before; None: a separator opens the piece
    has_days: bool = False  # a separator between lines of two days

    @property
    def place(self) -> str:
        """Return the id of the last line, to continue after it; empty if there are no lines."""
        return self.lines[-1].id if self.lines else ""

    def html(self) -> SafeString:
        """Return the lines as list items."""
        items: list[SafeString] = []
        day = self.day
        for number, line in enumerate(self.lines):
            if self.has_days and line.at is not None and line.at.date() != day:
                day = line.at.date()
                items.append(_separator(day))
            items.append(_item(line, marked=number in self.marked))
        return mark_safe("".join(items))  # noqa: S308  # format_html has escaped each item


def _separator(day: date) -> SafeString:
    return format_html(
        '<li class="log-day"><time datetime="{}">{}</time></li>', day, f"{day:%A, %-d %B %Y} (UTC)"
    )


def kind_of(line: LogLine) -> str:
    """Return the CSS class of a line: an error, or its stream."""
    if line.stream != "system" and line.text.lower().startswith(_ERRORS):
        return "is-error"
    return {"stderr": "is-stderr", "system": "is-system"}.get(line.stream, "is-stdout")


def _item(line: LogLine, *, marked: bool) -> SafeString:
    kind = kind_of(line) + (" is-this" if marked else "")
    moment = source = SafeString("")
    if line.at is not None:
        exact = line.at.isoformat(timespec="milliseconds")
        moment = format_html(
            '<time datetime="{}" title="{}">{}</time>', exact, exact, f"{line.at:%H:%M:%S}"
        )
    if line.source:
        source = format_html('<span class="log-source">{}</span>', line.source)
    return format_html(
        '<li class="{}">{}{}<span class="log-text">{}</span></li>',
        kind,
        moment,
        source,
        _text(line),
    )


def _text(line: LogLine) -> SafeString:
    """Return the line's text without colours. Other control characters, also those that change the
    text's direction, are escaped. An error code in it links to its page."""
    place, text = _CODES.get(line.source), printable(line.text)
    found = place.search(text) if place else None
    if found is None or meaning_of(found[0]) is None:
        return format_html("{}", text)
    before, after = text[: found.start()], text[found.end() :]
    return format_html(
        '{}<a class="link" href="{}">{}</a>{}',
        before,
        reverse("code", args=[found[0]]),
        found[0],
        after,
    )
