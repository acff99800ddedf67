"""Text of apps, builds and commits made safe to print in a terminal.

A terminal obeys control characters: an app's log line could set the title, clear the screen or type into the prompt of whoever reads it
(CWE-150). Pages need none of this, they escape HTML. Every answer in plain text goes through `printable`.
"""

from __future__ import annotations

import re

_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")  # ECMA-48, "Select Graphic Rendition": dropped, since so much is printed in colours
# C0 and C1 controls, DEL, other ends of lines, and marks that change the direction of text (CVE-2021-42574).
_UNSAFE = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]")


def printable(line: str) -> str:
    """Return one line without colours, every other control character but the tab spelled out, as in `\\x1b`."""
    return _UNSAFE.sub(_spelled, _COLOUR.sub("", line))


def printable_lines(text: str) -> str:
    """Return a text of several lines with each made printable."""
    return "\n".join(printable(line) for line in text.split("\n"))


def _spelled(match: re.Match[str]) -> str:
    number = ord(match[0])
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"
