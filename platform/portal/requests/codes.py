"""The meaning of error codes, from `codes.json`, which `python -m runtime.router json` writes. A
test compares the two."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """An error code, explained for the app's owner."""

    code: str
    about: str  # the subject of the code, such as "the app"
    name: str
    seen: str  # a sentence: where the code appears
    title: str
    meaning: str
    look_at: str
    fix: str


def meaning_of(code: str) -> Meaning | None:
    """Return the meaning of a code, or None for an unknown code."""
    return _meanings().get(code)


def by_subject() -> Sequence[tuple[str, Sequence[Meaning]]]:
    """Return all codes, grouped by subject."""
    return [(about, list(group)) for about, group in groupby(_meanings().values(), key=lambda meaning: meaning.about)]


@cache
def _meanings() -> dict[str, Meaning]:
    document = json.loads(Path(__file__).with_name("codes.json").read_text("utf-8"))
    return {code: Meaning(code=code, **fields) for code, fields in document.items()}
