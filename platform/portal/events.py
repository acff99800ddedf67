"""Publish and receive changes of apps: one Redis channel per app.

Delivery is best effort: an event is only a hint to read the state again. After a lost event a page
shows old data until the next event. So if Redis is not available, that is logged and nothing fails.
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


class EventKind(StrEnum):
    """The part of an app that changed and should be read again."""

    APP = "app"  # created, deleted, restarted
    BUILD = "build"
    ROLLOUT = "rollout"
    RELEASE = "release"
    INSTANCES = "instances"
    FORMATION = "formation"
    CONFIG = "config"
    RUN = "run"  # a run of a job or script
    IMAGE = "image"  # the state of an image job changed
    VOLUME = "volume"  # a volume, or the state of a job on one, changed
    RECONNECTED = "reconnected"  # events may have been lost: read everything again


def announce(app_name: str, kind: EventKind) -> None:
    """Publish when the current transaction commits, or immediately if there is none."""
    transaction.on_commit(partial(publish, app_name, kind))


def publish(app_name: str, kind: str) -> None:
    """Publish immediately."""
    try:
        client().publish(_channel(app_name), str(kind))
    except redis.RedisError as error:
        log.warning(
            "Event %s of app %s was not published, because Redis did not answer: %s",
            kind,
            app_name,
            error,
        )


async def subscribe(app_name: str) -> AsyncIterator[str]:
    """Yield events forever. The first is RECONNECTED, when the subscription begins, and after each
    outage of Redis."""
    has_warned = False
    while True:
        client = redis.asyncio.Redis.from_url(settings.REDIS_CLIENT_URL, decode_responses=True)
        try:
            async with client.pubsub() as channel:
                await channel.subscribe(_channel(app_name))
                async for message in channel.listen():
                    if message["type"] == "subscribe":
                        has_warned = False
                        yield EventKind.RECONNECTED
                    elif message["type"] == "message":
                        yield message["data"]
        except (redis.RedisError, OSError) as error:
            if not has_warned:
                log.warning(
                    "No events of app %s until Redis is available again: %s", app_name, error
                )
                has_warned = True
        finally:
            await client.aclose()
        await asyncio.sleep(RECONNECT_SECONDS)


def samples(keys: list[str]) -> list[str | None]:
    """Return the values of short-lived keys. A missing value is None; all are None while Redis is
    not available."""
    if not keys:
        return []
    try:
        values: list[str | None] = client().mget(keys)  # type: ignore[assignment]  # text: decode_responses is on
    except redis.RedisError as error:
        log.warning("No usage samples, because Redis did not answer: %s", error)
        return [None] * len(keys)
    return values


def _channel(app_name: str) -> str:
    return f"slipway:app:{app_name}"


@cache
def client() -> redis.Redis:
    """Return the Redis client of this process."""
    return redis.Redis.from_url(
        settings.REDIS_CLIENT_URL, decode_responses=True, socket_connect_timeout=1, socket_timeout=2
    )
