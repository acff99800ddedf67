"""Keeps known secrets out of logs. Pure: what is masked is told, nothing is guessed."""

from __future__ import annotations

import re
from collections.abc import Iterable

LEAST = 8  # characters; what is shorter is too often an everyday word
_INSTEAD = "****"


class Mask:
    """Replaces values, and each line of those that have several, wherever they stand in a text."""

    def __init__(self, values: Iterable[str], *, least: int = LEAST) -> None:
        parts = {part.strip() for value in values for part in (value, *value.splitlines())}
        known = sorted((part for part in parts if len(part) >= least), key=len, reverse=True)  # the whole before what is in it
        self._pattern = re.compile("|".join(map(re.escape, known))) if known else None

    def __call__(self, text: str) -> str:
        return self._pattern.sub(_INSTEAD, text) if self._pattern is not None else text
