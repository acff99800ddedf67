"""Limit the open streams per person: event streams and followed logs, counted in Redis for all
processes.

Each open stream is a lease that its process renews, so a killed process does not leave any behind.
While Redis is not available, nothing is limited.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import redis
import redis.asyncio

from portal.errors import TooManyRequests

log = logging.getLogger(__name__)
LEASE_SECONDS = 60.0
_OPEN = """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[1])
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[3]) then return 0 end
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[4])
redis.call('EXPIRE', KEYS[1], 300)
return 1
"""


class Streams:
    """The open streams of one process."""

    def __init__(self, client: redis.asyncio.Redis, *, most: int) -> None:
        self._client = client
        self._most = most
        self._open = client.register_script(_OPEN)

    @asynccontextmanager
    async def of(self, visitor: str) -> AsyncIterator[None]:
        """Hold a stream open. Raise TooManyRequests if the person has too many."""
        key, lease = f"slipway:streams:{visitor}", uuid.uuid4().hex
        if not await self._begin(key, lease):
            raise TooManyRequests(
                f"You already have {self._most} live pages and followed logs open, which is the"
                " maximum.",
                hint=(
                    "Close some of them. An admin can change the limit"
                    " (SLIPWAY_STREAMS_PER_PERSON)."
                ),
                retry_after=30,
            )
        renewal = asyncio.create_task(self._renew(key, lease))
        try:
            yield
        finally:
            renewal.cancel()
            await self._end(key, lease)

    async def _begin(self, key: str, lease: str) -> bool:
        now = time.time()
        try:
            return bool(
                await self._open(keys=[key], args=[now, now + LEASE_SECONDS, self._most, lease])
            )
        except (redis.RedisError, OSError) as error:
            log.warning("Open streams are not counted, because Redis did not answer: %s", error)
            return True

    async def _renew(self, key: str, lease: str) -> None:
        while True:
            await asyncio.sleep(LEASE_SECONDS / 3)
            try:
                await self._client.zadd(key, {lease: time.time() + LEASE_SECONDS})
                await self._client.expire(key, 300)
            except (redis.RedisError, OSError) as error:
                log.warning(
                    "An open stream is not counted, because Redis did not answer: %s", error
                )

    async def _end(self, key: str, lease: str) -> None:
        try:
            await self._client.zrem(key, lease)
        except (redis.RedisError, OSError) as error:
            log.warning(
                "An ended stream is still counted for %s s, because Redis did not answer: %s",
                LEASE_SECONDS,
                error,
            )
