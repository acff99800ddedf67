"""Make text of apps, builds and commits safe to print in a terminal.

A terminal interprets control characters. A log line of an app could set the title, clear the screen
or type into the reader's prompt (CWE-150). Every response in plain text uses `printable`. Log lines
on pages use it too: a page escapes HTML, but would show colours as text, and follow characters that
change the text's direction.
"""

from __future__ import annotations

import re

# ECMA-48, "Select Graphic Rendition": removed, because colours are so common
_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
# C0 and C1 controls, DEL, other line ends, and characters that change the text direction
# (CVE-2021-42574).
_UNSAFE = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]"
)


def printable(line: str) -> str:
    """Return one line without colours. Other control characters except tab are escaped, as in
    `\x1b`."""
    return _UNSAFE.sub(_spelled, _COLOUR.sub("", line))


def printable_lines(text: str) -> str:
    """Return a text of several lines, each made printable."""
    return "\n".join(printable(line) for line in text.split("\n"))


def _spelled(match: re.Match[str]) -> str:
    number = ord(match[0])
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"
