"""What the codes mean and what to do, from `codes.json`, which `python -m runtime.router json` writes; a test compares them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """One code, for the app's owner."""

    code: str
    about: str  # what is at fault, or asked about: "the app"
    name: str
    seen: str  # where somebody meets it, a sentence
    title: str
    meaning: str
    look_at: str
    fix: str


def meaning_of(code: str) -> Meaning | None:
    """None for what is no code of ours."""
    return _meanings().get(code)


def by_subject() -> Sequence[tuple[str, Sequence[Meaning]]]:
    """All of them, under what they are about."""
    return [(about, list(group)) for about, group in groupby(_meanings().values(), key=lambda one: one.about)]


@cache
def _meanings() -> dict[str, Meaning]:
    document = json.loads(Path(__file__).with_name("codes.json").read_text("utf-8"))
    return {code: Meaning(code=code, **told) for code, told in document.items()}
