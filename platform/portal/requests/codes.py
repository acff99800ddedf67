"""What the router's codes mean and what to do, from `codes.json`, which `python -m runtime.router json` writes; a test compares them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """One code, for the app's owner. `status` 0: nothing was answered with it."""

    code: str
    name: str
    status: int
    title: str
    meaning: str
    look_at: str
    fix: str


def meaning_of(code: str) -> Meaning | None:
    """None for what is no code of ours."""
    return _meanings().get(code)


@cache
def _meanings() -> dict[str, Meaning]:
    document = json.loads(Path(__file__).with_name("codes.json").read_text("utf-8"))
    return {code: Meaning(code=code, **told) for code, told in document.items()}
