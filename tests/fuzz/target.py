"""One fuzzed function: the strategy of its examples, the call, and the errors that are correct
results.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis.strategies import SearchStrategy

from tests.fuzz.sandbox import Sandbox


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Function under test.

    `run` returns or raises one of `refusals`; any other exception is a crash. With `seeds`,
    `examples` draws bytes.
    """

    name: str
    examples: SearchStrategy[Any]
    run: Callable[[Any, Sandbox], None]
    refusals: tuple[type[BaseException], ...]
    # Files of the format: atheris then changes their bytes directly.
    seeds: Callable[[], list[bytes]] | None = None
