"""Polling until a condition holds: the only way in which the tests wait."""

import time
from collections.abc import Callable
from typing import Literal, TypeVar

T = TypeVar("T")


def until(
    look: Callable[[], T | Literal[False] | None], *, within: float, what: str, every: float = 0.05
) -> T:
    """Return the first truthy result of `look`.

    After `within` seconds, AssertionError names `what` and the last result.
    """
    deadline = time.monotonic() + within
    while not (answer := look()):
        assert time.monotonic() < deadline, (
            f"{what}: not within {within:g} s; last seen: {answer!r}"
        )
        time.sleep(every)
    return answer
