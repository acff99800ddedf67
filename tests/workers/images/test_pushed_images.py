"""Tests of pushed images, from the registry to a release that runs.

The store is real. Some tests check builds that are interrupted or refused.
"""

from __future__ import annotations

import gzip
import io
import json
import tarfile

import pytest

from portal.builds.models import Build, BuildState
from portal.deploys import actions as builds
from portal.quotas.models import Quota
from portal.registry import access, blob_store
from portal.registry.actions import put_manifest
from portal.releases.models import Release, Rollout, RolloutState
from runtime.builds.builder import Builder
from tests.portal.images import CONFIG, MACHINE, MANIFEST, digest_of, part
from workers.bridge import translate
from workers.tasks.build import build
from workers.tasks.publishing import publish_images
from workers.tasks.rollout import roll_out


@pytest.fixture
def dock(plant):
    """Yield the plant with the real builder and an empty folder of received blobs."""
    fake = plant.engine._builder
    plant.engine._builder = Builder(plant.config, plant.engine.images, plant.engine.containers)
    yield plant
    plant.engine._builder = fake
    for path in blob_store.RECEIVED.iterdir():
        path.unlink()


def receive(app, *blobs):
    for data in blobs:
        blob_store.keep(app.team_id, data)


def push(plant, app, layers, diff_ids, **config):
    """Put the manifest, which ends a client's push. The blobs of `layers` were received before."""
    document = {
        "architecture": MACHINE,
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "config": config,
    }
    configuration = json.dumps(document).encode()
    receive(app, configuration)
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": part(configuration, CONFIG),
            "layers": layers,
        }
    ).encode()
    put = put_manifest(
        plant.crew.owner, app=app, reference="latest", data=manifest, content_type=MANIFEST
    )
    return put.build, manifest


def parts_of(plant):
    """Return the layers of the plant's image as a client has them: entries, diff IDs and
    contents.
    """
    store = plant.engine.images
    layers = store.layers_of(plant.builder.digest)
    entries = [
        {"mediaType": layer.media_type, "digest": layer.digest, "size": layer.size}
        for layer in layers
    ]
    return (
        entries,
        [layer.diff_id for layer in layers],
        [store.blob(layer.digest).read_bytes() for layer in layers],
    )


def a_layer(size=10):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        entry = tarfile.TarInfo("zeros")
        entry.size = size
        tar.addfile(entry, io.BytesIO(bytes(size)))
    return packed.getvalue()


def test_a_pushed_image_runs_although_its_first_worker_was_killed(dock):
    app = dock.app()
    entries, diff_ids, blobs = parts_of(dock)
    receive(app, *blobs)
    row, manifest = push(
        dock, app, entries, diff_ids, Cmd=["python3", "/srv/app.py", "pushed", "ok"], User="app",
        ExposedPorts={"3000/tcp": {}},
        Env=["PATH=/usr/bin:/bin"],
    )  # fmt: skip
    builds.mark_building(row)
    dock.engine.import_image(
        translate.image_to_import(row, dock.engine), lambda _: None, cancelled=lambda: False
    )
    assert any(blob_store.RECEIVED.iterdir()), (
        "killed here: the image is in the store, its release is not made"
    )
    build(row.pk)
    row.refresh_from_db()
    assert row.state == BuildState.SUCCEEDED, row.reason
    assert row.processes == {"web": "python3 /srv/app.py pushed ok"}
    assert not list(blob_store.RECEIVED.iterdir()), (
        "the store has the only name of the received blobs"
    )
    release = Release.objects.get(app=app)
    config = dock.engine.images.image(release.image).config
    assert config.labels["slipway.user"] == "1000:1000", "a user of the image's own /etc/passwd"
    digest, path = access.manifest_path(app, "v1")
    assert (f"sha256:{digest}", path.read_bytes()) == (
        digest_of(manifest),
        manifest,
    ), "pulled as it was pushed"
    assert access.manifest_path(app, "latest")[0] == digest
    for entry in entries:
        name, blob = access.blob_path(app, entry["digest"])
        assert (
            blob.stat().st_ino == (dock.config.images / "blobs" / "sha256" / name).stat().st_ino
        ), "no second copy"
    rollout = Rollout.objects.get(release=release)
    roll_out(rollout.pk)
    rollout.refresh_from_db()
    assert rollout.state == RolloutState.LIVE, rollout.reason
    assert dock.get(app).text.startswith("pushed ")
    (instance,) = [found for found in dock.engine.instances() if found.spec.app == app.name]
    assert instance.spec.environment["PORT"] == "3000"
    publish_images()
    assert access.tags_of(app) == ["latest", "v1"]
    assert dock.engine.images.verify() == []


def test_false_digests_are_found_before_anything_is_released(dock):
    app = dock.app()
    layer, other = gzip.compress(a_layer(), mtime=0), a_layer(20)
    receive(app, layer)
    entry = part(layer)
    wrong, _ = push(dock, app, [entry], [digest_of(other)], Cmd=["/x"])
    build(wrong.pk)
    wrong.refresh_from_db()
    assert wrong.state == BuildState.FAILED
    assert f"instead of {digest_of(other)}" in wrong.reason
    _, diff_ids, _ = parts_of(dock)
    stolen, _ = push(dock, app, [entry], [diff_ids[0]], Cmd=["/x"])
    build(stolen.pk)
    stolen.refresh_from_db()
    assert stolen.state == BuildState.FAILED, (
        "the diff ID of a layer of the store does not give access to the layer"
    )
    nothing, _ = push(dock, app, [entry], [digest_of(a_layer())])
    build(nothing.pk)
    nothing.refresh_from_db()
    assert "has no command to run" in nothing.reason
    gone, _ = push(dock, app, [entry], [digest_of(a_layer())], Cmd=["/y"])
    blob_store.received(app.team_id, entry["digest"].removeprefix("sha256:")).unlink()
    build(gone.pk)
    gone.refresh_from_db()
    assert gone.reason.endswith("no longer exists. Push the image again.")
    assert not Release.objects.exists()
    assert not any((dock.config.images / "ingest").iterdir())


def test_a_missing_layer_that_is_not_distributable_is_named_and_a_pushed_one_is_used(dock):
    app = dock.app()
    tar = a_layer()
    layer = gzip.compress(tar, mtime=0)
    entry = part(layer, "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")
    row, _ = push(dock, app, [entry], [digest_of(tar)], Cmd=["/x"])
    build(row.pk)
    row.refresh_from_db()
    assert row.state == BuildState.FAILED
    assert f"The layer {digest_of(layer)} ({len(layer)} Bytes) is missing." in row.reason
    assert "--allow-nondistributable-artifacts" in row.reason
    receive(app, layer)
    row, _ = push(dock, app, [entry], [digest_of(tar)], Cmd=["/x"])
    build(row.pk)
    row.refresh_from_db()
    assert row.state == BuildState.SUCCEEDED, row.reason
    (stored,) = dock.engine.images.layers_of(Release.objects.get().image)
    assert stored.media_type == "application/vnd.oci.image.layer.v1.tar+gzip"


def test_a_layer_that_unpacks_to_more_than_the_teams_disk_is_refused(dock):
    app = dock.app()
    tar = a_layer(64 * 2**20)
    receive(app, bomb := gzip.compress(tar, 9, mtime=0))
    row, _ = push(dock, app, [part(bomb)], [digest_of(tar)], Cmd=["/x"])
    Quota.objects.filter(team=app.team).update(disk=2**20)
    build(row.pk)
    row.refresh_from_db()
    assert row.state == BuildState.FAILED
    assert "are larger than the remaining 1 MiB" in row.reason
    assert Build.objects.count() == 1
