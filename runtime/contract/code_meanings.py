"""The meaning of error codes, for the pages of an app's owner. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby

from runtime.contract.code_explanations import explained
from runtime.contract.notices import NOTED


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
    return [
        (about, list(group))
        for about, group in groupby(_meanings().values(), key=lambda meaning: meaning.about)
    ]


@cache
def _meanings() -> dict[str, Meaning]:
    return {
        code: Meaning(
            code=code,
            about=_about(code),
            name=what.name,
            seen=what.seen,
            title=what.title,
            meaning=what.meaning,
            look_at=what.look_at,
            fix=what.fix,
        )
        for code, what in explained()
    }


def _about(code: str) -> str:
    if code in NOTED:
        return "an instance"
    return "the app" if code < "H40" else "the request" if code < "H80" else "the platform"
