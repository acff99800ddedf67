"""Read single settings from configuration files that are programs, such as vite.config.ts. Pure.

They are not run. A value that is not written as a plain text in its place is not found.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

ENDINGS = ("js", "ts", "mjs", "mts", "cjs", "cts")
_COMMENTS = re.compile(r"/\*(?:.*?\*/|.*)|(?m:^[ \t]*//[^\n]*)", re.DOTALL)


def text(texts: Mapping[str, str], *names: str) -> str:
    """Return the text of NAME.config.js (or .ts, .mjs …) without comments; "" if there is none."""
    found = (texts.get(f"{name}.config.{ending}", "") for name in names for ending in ENDINGS)
    return _COMMENTS.sub("", next((each for each in found if each), ""))


def value(config: str, key: str) -> str:
    """Return the text that a key has, "" if there is none: `outDir: "site"` has "site"."""
    found = re.search(rf"\b{key}[ \t]*:[ \t]*(['\"`])([^'\"`\n$]*)\1", config)
    return found[2] if found else ""
