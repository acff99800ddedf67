"""The Redis client of the limits. Requests do not wait if Redis is not available."""

from __future__ import annotations

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff


def connect(url: str) -> redis.asyncio.Redis:
    """Return a client for one event loop. It fails immediately instead of retrying."""
    return redis.asyncio.Redis.from_url(
        url,
        decode_responses=True,
        socket_connect_timeout=0.5,
        socket_timeout=0.5,
        max_connections=64,
        retry=Retry(NoBackoff(), 0),
    )
