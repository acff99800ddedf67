"""Pulls by Docker before 23, which cannot unpack zstd: it gets a copy with gzip layers."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from pathlib import Path

import pytest

from portal.accounts.models import Person
from portal.apps.models import App
from portal.builds.models import Build
from portal.errors import QuotaExceeded, RegistryRefused
from portal.queue import Task
from portal.quotas.models import Quota
from portal.registry import access, blob_store, old_clients
from portal.releases.models import Release
from tests.portal.conftest import People
from tests.portal.images import Client, digest_of, manifest, part
from tests.portal.registry.registry import (
    CONFIG,
    IMAGE,
    LAYER,
    UNKNOWN,
    app,
    clean_shelf,
    client,
    publish,
)
from tests.portal.shipyard import deploy

__all__ = ["app", "clean_shelf", "client"]
OLD = "docker/20.10.24 go/go1.18.10 git-commit/5d6db84 os/linux arch/amd64"
ZSTD = json.dumps({**json.loads(IMAGE), "layers": [part(LAYER, old_clients.ZSTD)]}).encode()
SMALL = b"the same layer with gzip"
GZIP = manifest(CONFIG, SMALL)


@pytest.fixture
def released(client: Client, app: App) -> Path:
    """Make a release whose layers are zstd. Return the served folder of its image."""
    client.push(LAYER, CONFIG)
    client.put("latest", IMAGE)
    deploy(Build.objects.get(), image=UNKNOWN)
    publish(app, UNKNOWN, ZSTD, LAYER, CONFIG)
    return blob_store.SERVED / str(app.pk) / UNKNOWN.removeprefix("sha256:")


def copy_into(folder: Path) -> None:
    """Make the copy, as a worker does."""
    for data in (SMALL, GZIP):
        (folder / digest_of(data).removeprefix("sha256:")).write_bytes(data)
    (folder / "gzip").symlink_to(digest_of(GZIP).removeprefix("sha256:"))


@pytest.mark.parametrize(
    ("agent", "expected"),
    [
        (OLD, True),
        ("Docker/19.03.15 go/go1.13", True),
        ("docker/23.0.1 go/go1.19", False),
        ("docker/28.5.0 go/go1.24", False),
        ("containerd/1.4.13", True),
        ("containerd/v1.5.0", False),
        ("containerd/2.1.0", False),
        ("skopeo/1.9.3", False),
        ("containers/5.24 (github.com/containers/image)", False),
        ("", False),
    ],
)
def test_old_clients_are_known_by_their_user_agent(agent: str, expected: bool) -> None:
    assert old_clients.needs_gzip(agent) is expected


def test_an_old_client_gets_gzip_by_tag_and_every_client_by_digest(
    client: Client, released: Path
) -> None:
    copy_into(released)
    old = client.get("manifests/v1", User_Agent=OLD)
    assert (old.content, old.headers["Docker-Content-Digest"]) == (GZIP, digest_of(GZIP))
    assert "User-Agent" in old.headers["Vary"]
    head = client.http.head(f"{client.root}/manifests/v1", headers={"User-Agent": OLD})
    assert head.headers["Docker-Content-Digest"] == digest_of(GZIP)
    new = client.get("manifests/v1", User_Agent="docker/27.1.0 go/go1.22")
    assert new.content == ZSTD
    assert "User-Agent" in new.headers["Vary"]
    for agent in (OLD, "docker/27.1.0 go/go1.22"):
        for data in (ZSTD, GZIP):
            answer = client.get(f"manifests/{digest_of(data)}", User_Agent=agent)
            assert answer.content == data, "a digest names the same bytes for every client"
            assert "User-Agent" not in answer.headers.get("Vary", "")
        assert client.get(f"blobs/{digest_of(SMALL)}", User_Agent=agent).content == SMALL
    unchanged = client.get("manifests/v1", User_Agent=OLD, If_None_Match=old.headers["ETag"])
    assert unchanged.status_code == 304
    assert client.get("manifests/v1", If_None_Match=old.headers["ETag"]).status_code == 200


def test_a_pull_waits_for_the_copy(client: Client, released: Path) -> None:
    worker = threading.Thread(target=lambda: (time.sleep(0.5), copy_into(released)))
    worker.start()
    try:
        assert client.get("manifests/v1", User_Agent=OLD).content == GZIP
    finally:
        worker.join()


def test_a_copy_that_takes_long_is_reported_and_ordered_once(
    released: Path, app: App, committed_people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders: list[tuple[Task, int]] = []
    monkeypatch.setattr(old_clients, "enqueue", lambda *order: orders.append(order))
    monkeypatch.setattr(old_clients, "_ordered", {})
    with pytest.raises(RegistryRefused, match="being compressed") as refused:
        _served(committed_people.owner, app, "v1", patience=0.3)
    assert refused.value.status == 429
    assert refused.value.headers["Retry-After"] == "60"
    with pytest.raises(RegistryRefused):
        _served(committed_people.owner, app, "v1", patience=0.3)
    assert orders == [(Task.MAKE_GZIP_COPY, Release.objects.get(app=app, number=1).pk)]


def test_copies_count_against_the_teams_disk(
    client: Client, released: Path, app: App, committed_people: People
) -> None:
    quota = Quota.objects.get(team=app.team)
    Quota.objects.filter(pk=quota.pk).update(disk=len(LAYER) - 1)
    with pytest.raises(QuotaExceeded):
        _served(committed_people.owner, app, "v1", patience=0.3)
    copy_into(released)
    assert blob_store.size_of_copies(app.team_id) == len(SMALL)
    assert client.get("manifests/v1", User_Agent=OLD).content == GZIP, "it exists already"


def test_an_image_with_gzip_layers_needs_no_copy(client: Client, app: App) -> None:
    client.push(LAYER, CONFIG)
    client.put("latest", IMAGE)
    assert client.get("manifests/latest", User_Agent=OLD).content == IMAGE
    deploy(Build.objects.get(), image=UNKNOWN)
    publish(app, UNKNOWN, IMAGE, LAYER, CONFIG)
    assert client.get("manifests/v1", User_Agent=OLD).content == IMAGE


def _served(person: Person, app: App, tag: str, *, patience: float) -> tuple[str, Path]:
    _, path = access.manifest_path(app, tag)
    return asyncio.run(old_clients.manifest_for(person, app, path, patience=patience))
