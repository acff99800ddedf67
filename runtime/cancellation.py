"""Whether what is being done should end: asked in the middle of long work, far below whoever knows.

Only work that can be given up at any moment asks; what cleans up never does, so that nothing is left half-removed.
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
    """Inside the block, `check` asks this; in this thread alone."""
    token = _asked.set(cancelled)
    try:
        yield
    finally:
        _asked.reset(token)


def check() -> None:
    """Cancelled: nobody wants what is being done any more. Cheap enough for every entry of an archive."""
    if _asked.get()():
        raise Cancelled("The build was cancelled.")
