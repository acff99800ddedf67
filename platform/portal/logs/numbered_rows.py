"""Render numbered log lines as HTML list items, each with a link to itself. Long lines are cut: a
page has a limited size, and the download has all of a line."""

from __future__ import annotations

import re
from collections.abc import Sequence

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from portal.logs.lines import kind_of
from portal.logs.logfile import LogLine
from portal.logs.numbered import NumberedLine
from portal.plaintext import printable

MOST_TEXT = 48_000  # characters of all lines of a page
_LIMITS = (4000, 1000, 400, 120)  # characters of a line; the first one that fits is used
_HIDDEN_SOURCE = "build"  # most lines of a build's log have it


def rows(
    lines: Sequence[NumberedLine], *, marked: int | None = None, searched: str = ""
) -> SafeString:
    """Return list items with the ids L1, L2 and so on. `marked` is the number of a highlighted
    line; matches of `searched` are marked."""
    texts = [printable(numbered.line.text) for numbered in lines]
    longest = next(
        (most for most in _LIMITS if sum(min(len(text), most) for text in texts) <= MOST_TEXT),
        _LIMITS[-1],
    )
    return format_html_join(
        "",
        '<li id="L{}" class="{}"><a class="log-number" href="?line={}#L{}">{}</a>{}{}'
        '<span class="log-text">{}</span></li>',
        (
            (
                numbered.number,
                kind_of(numbered.line) + (" is-this" if numbered.number == marked else ""),
                numbered.number,
                numbered.number,
                numbered.number,
                _moment(numbered.line),
                _source(numbered.line),
                _text(text, longest, searched),
            )
            for numbered, text in zip(lines, texts, strict=True)
        ),
    )


def _moment(line: LogLine) -> SafeString:
    if line.at is None:
        return SafeString("")
    return format_html(
        '<time datetime="{}">{}</time>', f"{line.at:%Y-%m-%dT%H:%M:%SZ}", f"{line.at:%H:%M:%S}"
    )


def _source(line: LogLine) -> SafeString:
    if line.source in ("", _HIDDEN_SOURCE):
        return SafeString("")
    return format_html('<span class="log-source">{}</span>', printable(line.source))


def _text(text: str, most: int, searched: str) -> SafeString:
    cut = len(text) - most
    shown = _marked(text[:most], searched)
    if cut <= 0:
        return shown
    return format_html('{}<span class="log-cut"> … {} more characters</span>', shown, f"{cut:,}")


def _marked(text: str, searched: str) -> SafeString:
    if not searched:
        return format_html("{}", text)
    # The parts with odd indices are the matches.
    parts = re.split(f"({re.escape(searched)})", text, flags=re.IGNORECASE)
    return format_html_join(
        "",
        "{}",
        (
            (format_html("<mark>{}</mark>", part) if number % 2 else part,)
            for number, part in enumerate(parts)
        ),
    )
