"""The limits of the registry: a team's disk, simultaneous uploads, abandoned uploads, a full
disk."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from django.conf import settings

from portal.accounts.models import Team
from portal.apps.models import App
from portal.builds.models import Build, BuildState
from portal.quotas.models import Quota
from portal.registry import blob_store, upkeep
from portal.registry.models import Tag
from tests.portal.conftest import People
from tests.portal.images import Client, digest_of, refused
from tests.portal.registry.registry import CONFIG, IMAGE, LAYER, app, clean_shelf, client

__all__ = ["app", "clean_shelf", "client"]


def test_unreleased_blobs_count_against_the_teams_disk(
    client: Client, app: App, committed_people: People
) -> None:
    Quota.objects.filter(team=committed_people.blue).update(disk=2**20)
    client.push(b"x" * 2**19)
    location = client.begin()
    answer = client.http.patch(location, content=b"y" * 2**20)
    assert refused(answer) == (403, "DENIED")
    assert "1 MiB of disk" in answer.text
    assert refused(client.http.post(f"{client.root}/blobs/uploads/")) == (
        403,
        "DENIED",
    ), "nothing more until it has room"
    client.http.delete(location)
    assert client.http.post(f"{client.root}/blobs/uploads/").status_code == 202


def test_an_endless_upload_is_ended_by_the_quota(client: Client, committed_people: People) -> None:
    Quota.objects.filter(team=committed_people.blue).update(disk=24 * 2**20)

    def endless() -> Iterator[bytes]:
        while True:
            yield bytes(2**18)

    try:
        answer = client.http.patch(client.begin(), content=endless())
    except (httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError):
        pass  # it closed the connection before we could read the reason
    else:
        assert refused(answer) == (403, "DENIED")
    (upload,) = blob_store.UPLOADS.iterdir()
    assert upload.stat().st_size <= 64 * 2**20


def test_one_digest_can_be_uploaded_simultaneously(
    client: Client, portal_url: str, committed_people: People
) -> None:
    token, statuses = committed_people.token(committed_people.owner), []
    data = os.urandom(2**20)

    def send() -> None:
        sender = Client(portal_url, "blue/hello", token)
        statuses.append(
            sender.http.put(
                sender.begin(), params={"digest": digest_of(data)}, content=data
            ).status_code
        )

    threads = [threading.Thread(target=send) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [201] * 6
    (blob,) = blob_store.RECEIVED.iterdir()
    assert blob.read_bytes() == data
    assert not list(blob_store.UPLOADS.iterdir())


def test_two_requests_do_not_mix_their_bytes_in_one_upload(
    client: Client, portal_url: str, committed_people: People
) -> None:
    location = client.begin()
    goes_on = threading.Event()

    def slow() -> Iterator[bytes]:
        yield b"a" * 2**20
        goes_on.wait(20)
        yield b"a"

    answers: list[httpx.Response] = []
    thread = threading.Thread(
        target=lambda: answers.append(client.http.patch(location, content=slow()))
    )
    thread.start()
    other = Client(portal_url, "blue/hello", committed_people.token(committed_people.owner))
    wait_until(lambda: other.http.get(location).headers["Range"] == f"0-{2**20 - 1}")
    assert other.http.get("/v2/").status_code == 200, "the portal serves others meanwhile"
    assert refused(other.http.patch(location, content=b"b")) == (409, "BLOB_UPLOAD_INVALID")
    goes_on.set()
    thread.join()
    assert answers[0].headers["Range"] == f"0-{2**20}"


def test_ten_thousand_tags_are_refused(client: Client, app: App) -> None:
    client.push(LAYER, CONFIG)
    Tag.objects.bulk_create(
        Tag(app=app, name=f"t{number}", digest="0" * 64) for number in range(500)
    )
    assert refused(client.put("one-more", IMAGE)) == (429, "TOOMANYREQUESTS")
    assert not Build.objects.exists()
    assert upkeep.forget_unreachable_tags() == 500
    assert client.put("one-more", IMAGE).status_code == 201


def test_abandoned_uploads_are_removed_by_age(client: Client, committed_people: People) -> None:
    client.push(LAYER, CONFIG)
    client.put("latest", IMAGE)
    client.begin()
    for path in (*blob_store.UPLOADS.iterdir(), *blob_store.RECEIVED.iterdir()):
        os.utime(path, (0, 0))
    client.begin()
    assert upkeep.sweep() == 1, "the old upload; what a queued deploy needs stays"
    Build.objects.update(state=BuildState.FAILED)
    assert upkeep.sweep() == 3
    assert len(list(blob_store.UPLOADS.iterdir())) == 1
    assert blob_store.pending(Team.objects.get(name="blue").pk) == 0


def test_a_full_disk_is_reported_and_no_upload_begins(
    client: Client, app: App, committed_people: People
) -> None:
    from portal.errors import DiskFull
    from portal.registry.actions import check_upload

    before = settings.DISK_FULL
    try:
        settings.DISK_FULL = 0
        with pytest.raises(DiskFull) as refusal:
            check_upload(committed_people.owner, app)
    finally:
        settings.DISK_FULL = before
    assert refusal.value.status == 507


def wait_until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_files_of_the_registry_are_not_readable_by_everybody(client: Client) -> None:
    client.push(LAYER)
    (blob,) = blob_store.RECEIVED.iterdir()
    assert blob.stat().st_mode & 0o007 == 0
    assert Path(settings.REGISTRY) == blob_store.RECEIVED.parent
