"""One thing that is fuzzed: how its examples are made, what is done with each, and which errors are right answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis.strategies import SearchStrategy

from tests.fuzz.sandbox import Sandbox


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """`run` raises one of `refusals`, or returns; anything else is a crash. `examples` are of bytes where `seeds` are given."""

    name: str
    examples: SearchStrategy[Any]
    run: Callable[[Any, Sandbox], None]
    refusals: tuple[type[BaseException], ...]
    seeds: Callable[[], list[bytes]] | None = None  # files of the format: then the bytes are changed as such
