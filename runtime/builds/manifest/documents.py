"""Parse a tenant's JSON and TOML with limits on the time and memory that it takes. Pure.

The worker parses these texts in one of its threads, which nothing can stop. The time of tomllib
grows with the cube of the parts of a dotted key: 80 KB of `a.a.a` take a minute.
"""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any

MOST_PARTS = 1_000_000  # lists, objects and their entries; signs inside strings count too
MOST_IN_KEY = 16  # parts of a dotted key
_PART = r"(?:[\w-]++|\"[^\"\n]*+\"|'[^'\n]*+')"
_LONG_KEY = re.compile(rf"(?<![\w-]){_PART}(?:[ \t]*+\.[ \t]*+{_PART}){{{MOST_IN_KEY}}}", re.ASCII)


def parse_json(text: str) -> Any:
    """Return the value. ValueError: it is not JSON, too large, or nested too deeply."""
    _check_parts(text, ",[{")
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def parse_toml(text: str) -> dict[str, Any]:
    """Return the table. ValueError: it is not TOML, too large, or nested too deeply."""
    _check_parts(text, ",[{=")
    if _LONG_KEY.search(text):
        raise ValueError(f"a key has more than {MOST_IN_KEY} parts")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _check_parts(text: str, signs: str) -> None:
    if sum(map(text.count, signs)) > MOST_PARTS:
        raise ValueError(f"it has more than {MOST_PARTS:,} values")
