"""Masking of known secrets in logs. Pure: only the given values are masked."""

from __future__ import annotations

import re
from collections.abc import Iterable

LEAST = 8  # characters; shorter values are too often common words
_INSTEAD = "****"


class Mask:
    """Replaces secret values in a text, and also each line of values with several lines."""

    def __init__(self, values: Iterable[str], *, least: int = LEAST) -> None:
        parts = {part.strip() for value in values for part in (value, *value.splitlines())}
        # The longest first: a value may contain another one.
        known = sorted((part for part in parts if len(part) >= least), key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, known))) if known else None

    def __call__(self, text: str) -> str:
        return self._pattern.sub(_INSTEAD, text) if self._pattern is not None else text
