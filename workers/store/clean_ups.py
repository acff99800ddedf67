"""The result of the last garbage collection, for the admin page."""

from __future__ import annotations

import logging
import time

import msgspec
import redis

from portal.accounts.models import Person
from portal.activity import audit
from portal.events import client
from portal.images.clean_up import KEY, CleanUp
from runtime.contract.quantities import Bytes
from runtime.images.removal import Collected

log = logging.getLogger(__name__)


def finish(person_id: int, done: Collected | None) -> None:
    """Store the result, and record it if a person requested the collection.

    `done` is None if another process collects already.
    """
    if person_id:
        text = (
            f"cleaned up images: {Bytes(done.freed)} freed"
            if done is not None
            else "asked to clean up images while another clean-up was running"
        )
        audit.record(Person.objects.filter(pk=person_id).first(), text)
    if done is None:
        return  # the other process stores its own result
    result = CleanUp(
        finished_at=time.time(),
        images=done.images,
        layers=done.layers,
        blobs=done.blobs,
        steps=done.notes,
        freed=done.freed,
        by=Person.objects.filter(pk=person_id).values_list("username", flat=True).first() or "",
    )
    try:
        client().set(KEY, msgspec.json.encode(result))
    except redis.RedisError as error:
        log.warning("The admin page does not show the last clean-up: %s", error)
