"""Limit what one person uses of a process: the requests that are processed at the same time, and
the open bodies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

from portal.errors import TooManyRequests


class Turns:
    """Limits requests: at most `each` of one visitor are processed at the same time, and `together`
    of all.

    Further requests wait in order. So a hundred requests of one person wait for each other, and the
    requests of others pass them. If more than `waiting` wait, they are refused.
    """

    def __init__(self, *, each: int, together: int, waiting: int) -> None:
        self._each = each
        self._waiting = waiting
        self._together = asyncio.Semaphore(together)
        self._queues: dict[str, _Queue] = {}

    @asynccontextmanager
    async def of(self, visitor: str) -> AsyncIterator[None]:
        """Wait for a turn and hold it. Raise TooManyRequests if too many of this visitor's requests
        wait."""
        queue = self._queues.setdefault(visitor, _Queue(turns=asyncio.Semaphore(self._each)))
        if queue.there >= self._each + self._waiting:
            raise TooManyRequests(
                f"{self._each + self._waiting} of your requests are already in progress.",
                hint="Wait for the responses, then send fewer requests at the same time.",
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
    """Limits the request bodies of one visitor that are being received or used by a view: their
    number and their bytes."""

    def __init__(self, *, most: int, most_bytes: int) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._visitors: dict[str, _Sum] = {}

    @contextmanager
    def of(self, visitor: str) -> Iterator[Body]:
        """Hold a body open. Raise TooManyRequests if the visitor has too many."""
        total = self._visitors.setdefault(visitor, _Sum())
        if total.bodies >= self._most:
            raise TooManyRequests(
                f"{self._most} of your request bodies are already open.",
                hint="Send fewer requests at the same time.",
                retry_after=5,
            )
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
    """An open body. `length` is the number of bytes received so far."""

    _total: _Sum
    _most_bytes: int
    length: int = field(default=0)

    def add(self, count: int) -> None:
        """Count received bytes. Raise TooManyRequests if the bodies of this visitor are too large
        together."""
        if self._total.bytes + count > self._most_bytes:
            raise TooManyRequests(
                "The bodies of your open requests together are larger than the limit of"
                f" {self._most_bytes // 2**20} MiB.",
                hint="Wait until they have ended, then send one request after the other.",
                retry_after=10,
            )
        self.length += count
        self._total.bytes += count
