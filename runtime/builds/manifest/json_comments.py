"""Blank out what people write in JSON and RFC 8259 does not allow: comments, trailing commas. Pure.

Dokku, VS Code and Angular read such files. What is blanked out becomes spaces, so an error of the
JSON parser still names the right line and column.
"""

from __future__ import annotations

import re

# What has no end, a string or a comment, is one token up to where it could end: so the time is
# linear, and the JSON parser reports the fault.
_TOKEN = re.compile(
    r"""(?P<string>"[^"\\\n]*(?:\\.[^"\\\n]*)*"?)
    |(?P<comment>//[^\n]*|/\*.*?\*/)
    |(?P<comma>,)
    |(?P<space>\s+)
    |(?P<other>/\*.*|[^"/,\s]+|.)""",
    re.VERBOSE | re.DOTALL,
)


def plain_json(text: str) -> str:
    """Return the text without comments and without commas before a closing bracket.

    Strings stay. Line breaks stay too, so all positions are the same.
    """
    parts: list[str] = []
    last = ""  # the last character that counts
    comma = -1  # the place in `parts` of a comma after a value, while only space follows it
    for token in _TOKEN.finditer(text):
        kind, found = token.lastgroup, token[0]
        if kind == "comment":
            parts.append(re.sub(r"[^\n]", " ", found))
            continue
        if kind != "space":
            if comma >= 0 and found[0] in "]}":
                parts[comma] = " "
            comma = len(parts) if kind == "comma" and last not in ("", ",", "[", "{", ":") else -1
            last = found[-1]
        parts.append(found)
    return "".join(parts)
