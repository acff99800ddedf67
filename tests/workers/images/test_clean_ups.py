"""The result of a garbage collection that an admin requested."""

from __future__ import annotations

import pytest
import redis

from portal.activity.models import AuditEntry
from portal.images.clean_up import last_clean_up
from runtime.images.removal import Collected
from tests.portal.conftest import People, make_people
from workers.store import clean_ups

DONE = Collected(images=3, layers=5, blobs=1, notes=0, freed=3 * 2**29, percent=40.0)


@pytest.fixture
def people(db: None) -> People:
    return make_people()


def test_a_requested_clean_up_says_what_was_freed_and_is_recorded(
    people: People, broker: redis.Redis
) -> None:
    clean_ups.finish(people.admin.pk, DONE)
    last, waits = last_clean_up()
    assert last is not None
    assert (last.removed, last.freed, last.by, waits) == (
        "3 images, 5 layers, 1 blob",
        3 * 2**29,
        people.admin.username,
        False,
    )
    entry = AuditEntry.objects.latest("pk")
    assert (entry.text, entry.person) == ("cleaned up images: 1.5 GiB freed", people.admin)


def test_the_hourly_clean_up_is_not_in_the_activity(people: People, broker: redis.Redis) -> None:
    before = AuditEntry.objects.count()
    clean_ups.finish(0, Collected())
    last, _ = last_clean_up()
    assert last is not None
    assert (last.removed, last.by) == ("nothing", "")
    assert AuditEntry.objects.count() == before


def test_a_request_during_another_clean_up_keeps_its_result(
    people: People, broker: redis.Redis
) -> None:
    clean_ups.finish(0, DONE)
    clean_ups.finish(people.admin.pk, None)
    last, _ = last_clean_up()
    assert last is not None
    assert last.images == 3
    assert "another clean-up was running" in AuditEntry.objects.latest("pk").text
