"""The clean-up of images: an admin requests it, and a worker collects the garbage."""

from __future__ import annotations

import logging
import time

import msgspec
import redis

from portal.accounts.access import require_admin
from portal.accounts.models import Person
from portal.activity import audit
from portal.events import client
from portal.queue import Task, enqueue

log = logging.getLogger(__name__)
KEY, REQUEST_KEY = "slipway:clean-up", "slipway:clean-up:requested"
LONGEST = 600  # seconds after which a request without a result is no longer shown


class CleanUp(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a garbage collection. `by` is empty for the hourly one."""

    finished_at: float  # Unix time
    images: int = 0
    layers: int = 0
    blobs: int = 0
    steps: int = 0  # of the build cache
    freed: int = 0  # bytes
    by: str = ""

    @property
    def removed(self) -> str:
        """Return what was removed in words."""
        counts = (
            (self.images, "image"),
            (self.layers, "layer"),
            (self.blobs, "blob"),
            (self.steps, "cached build step"),
        )
        words = [f"{count} {noun}{'' if count == 1 else 's'}" for count, noun in counts if count]
        return ", ".join(words) or "nothing"


def request_clean_up(actor: Person) -> None:
    """Have a worker remove images, layers, build steps and sources that nothing needs."""
    require_admin(actor)
    audit.record(actor, "asked to clean up images")
    try:
        client().set(REQUEST_KEY, f"{time.time():.1f}", ex=LONGEST)
    except redis.RedisError as error:
        log.warning("The page does not show the running clean-up: %s", error)
    enqueue(Task.COLLECT_GARBAGE, actor.pk)


def last_clean_up() -> tuple[CleanUp | None, bool]:
    """Return the last result, and True if a later clean-up was requested that has no result yet."""
    try:
        result, requested = client().mget(KEY, REQUEST_KEY)
    except redis.RedisError as error:
        log.warning("The last clean-up is not known, because Redis did not answer: %s", error)
        return None, False
    done = msgspec.json.decode(str(result), type=CleanUp) if result is not None else None
    waits = requested is not None and (done is None or done.finished_at < float(requested))
    return done, waits
