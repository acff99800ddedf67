"""The limits' way to Redis: a request does not wait for one that is away."""

from __future__ import annotations

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff


def connect(url: str) -> redis.asyncio.Redis:
    """Return a client for one event loop, which fails at once instead of trying again."""
    return redis.asyncio.Redis.from_url(
        url, decode_responses=True, socket_connect_timeout=0.5, socket_timeout=0.5, max_connections=64, retry=Retry(NoBackoff(), 0)
    )
