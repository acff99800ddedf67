"""How much of one process a person may hold at once: requests being answered take turns, and open bodies are summed up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

from portal.errors import TooManyRequests


class Turns:
    """At most `each` requests of one visitor are answered at once, and `together` of all; more wait, first come, first served.

    So a hundred requests of one person wait for each other, and those of others pass them. Beyond `waiting` they are refused.
    """

    def __init__(self, *, each: int, together: int, waiting: int) -> None:
        self._each = each
        self._waiting = waiting
        self._together = asyncio.Semaphore(together)
        self._queues: dict[str, _Queue] = {}

    @asynccontextmanager
    async def of(self, visitor: str) -> AsyncIterator[None]:
        """Wait for a turn and hold it. TooManyRequests: too many of theirs wait already."""
        queue = self._queues.setdefault(visitor, _Queue(turns=asyncio.Semaphore(self._each)))
        if queue.there >= self._each + self._waiting:
            raise TooManyRequests(
                f"{self._each + self._waiting} requests of yours are being answered already.",
                hint="Wait for their answers, then send fewer at once.",
                retry_after=1,
            )
        queue.there += 1
        try:
            async with queue.turns, self._together:
                yield
        finally:
            queue.there -= 1
            if not queue.there:
                del self._queues[visitor]


@dataclass(slots=True, kw_only=True)
class _Queue:
    turns: asyncio.Semaphore
    there: int = 0


class OpenBodies:
    """Request bodies that are being received or held for a view: how many of one visitor, and their bytes."""

    def __init__(self, *, most: int, most_bytes: int) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._visitors: dict[str, _Sum] = {}

    @contextmanager
    def of(self, visitor: str) -> Iterator[Body]:
        """Hold one open. TooManyRequests: they have as many as they may."""
        total = self._visitors.setdefault(visitor, _Sum())
        if total.bodies >= self._most:
            raise TooManyRequests(f"{self._most} request bodies of yours are open.", hint="Send fewer at once.", retry_after=5)
        total.bodies += 1
        body = Body(total, self._most_bytes)
        try:
            yield body
        finally:
            total.bodies -= 1
            total.bytes -= body.length
            if not total.bodies:
                self._visitors.pop(visitor, None)


@dataclass(slots=True, kw_only=True)
class _Sum:
    bodies: int = 0
    bytes: int = 0


@dataclass(slots=True)
class Body:
    """One open body; `length` in bytes, as far as it came."""

    _total: _Sum
    _most_bytes: int
    length: int = field(default=0)

    def add(self, count: int) -> None:
        """Count bytes that came. TooManyRequests: the bodies of this visitor take too much together."""
        if self._total.bytes + count > self._most_bytes:
            raise TooManyRequests(
                f"Your requests under way take more than {self._most_bytes // 2**20} MiB of this Slipway's disk.",
                hint="Wait until they have ended, then send one after the other.",
                retry_after=10,
            )
        self.length += count
        self._total.bytes += count
