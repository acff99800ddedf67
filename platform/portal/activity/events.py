"""What moves, told to whoever looks: one Redis channel an app. A hint to look again, never the truth itself.

A lost event costs a stale page until the next one, so Redis being away is logged and fails nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from enum import StrEnum
from functools import cache, partial

import redis
import redis.asyncio
from django.conf import settings
from django.db import transaction

log = logging.getLogger(__name__)
RECONNECT_SECONDS = 1.0


class Kind(StrEnum):
    """What part of an app to look at again."""

    APP = "app"  # created, deleted, restarted
    BUILD = "build"
    ROLLOUT = "rollout"
    RELEASE = "release"
    INSTANCES = "instances"
    FORMATION = "formation"
    CONFIG = "config"
    RUN = "run"  # of a job or script
    RECONNECTED = "reconnected"  # events may have been missed: look at everything


def announce(app_name: str, kind: Kind) -> None:
    """Publish when the current transaction commits; at once when there is none."""
    transaction.on_commit(partial(publish, app_name, kind))


def publish(app_name: str, kind: str) -> None:
    """Publish now."""
    try:
        client().publish(_channel(app_name), str(kind))
    except redis.RedisError as error:
        log.warning("No event %s for %s, Redis did not answer: %s", kind, app_name, error)


async def subscribe(app_name: str) -> AsyncIterator[str]:
    """Yield kinds as they come, for ever. Begins with RECONNECTED once it listens, and says so again after an outage."""
    complained = False
    while True:
        client = redis.asyncio.Redis.from_url(settings.REDIS_CLIENT_URL, decode_responses=True)
        try:
            async with client.pubsub() as channel:
                await channel.subscribe(_channel(app_name))
                async for message in channel.listen():
                    if message["type"] == "subscribe":
                        complained = False
                        yield Kind.RECONNECTED
                    elif message["type"] == "message":
                        yield message["data"]
        except (redis.RedisError, OSError) as error:
            if not complained:
                log.warning("No events of %s until Redis is back: %s", app_name, error)
                complained = True
        finally:
            await client.aclose()
        await asyncio.sleep(RECONNECT_SECONDS)


def samples(keys: list[str]) -> list[str | None]:
    """The values of some short-lived keys, None for each that is missing; all missing while Redis is away."""
    if not keys:
        return []
    try:
        values: list[str | None] = client().mget(keys)  # type: ignore[assignment]  # text: decode_responses is on
    except redis.RedisError as error:
        log.warning("No usage samples, Redis did not answer: %s", error)
        return [None] * len(keys)
    return values


def _channel(app_name: str) -> str:
    return f"slipway:app:{app_name}"


@cache
def client() -> redis.Redis:
    """One for this process."""
    return redis.Redis.from_url(settings.REDIS_CLIENT_URL, decode_responses=True, socket_connect_timeout=1, socket_timeout=2)
