"""Cooperative cancellation: long work calls `check`, which raises Cancelled.

Only work that can stop at any time calls it. Code that cleans up never does, so that nothing is
left half-removed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from runtime.errors import Cancelled


def _never() -> bool:
    return False


_asked: ContextVar[Callable[[], bool]] = ContextVar("asked", default=_never)


@contextmanager
def when(cancelled: Callable[[], bool]) -> Iterator[None]:
    """Use `cancelled` in all calls of `check` inside the block, only in this thread."""
    token = _asked.set(cancelled)
    try:
        yield
    finally:
        _asked.reset(token)


def check() -> None:
    """Raise Cancelled if the current work was cancelled.

    A call is cheap enough for every entry of an archive.
    """
    if _asked.get()():
        raise Cancelled("The build was cancelled.")
