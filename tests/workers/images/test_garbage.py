"""Tests of garbage collection: it keeps what rows need, removes the rest, and logs the numbers."""

from __future__ import annotations

import logging
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
from django.conf import settings as django_settings

from portal.builds import sources
from portal.builds.models import Build, BuildState
from portal.deploys import actions as builds
from portal.releases.actions import rollback
from runtime.errors import ImageDamaged
from runtime.images.manifest import ImageConfig
from workers.tasks import garbage_collection, upkeep
from workers.tasks.build import build


@pytest.fixture
def store(plant):
    """Yield the node's store, in which only what a test makes is garbage."""
    plant.engine.images.tag("of-the-tests", plant.builder.digest)
    yield plant.engine.images
    plant.engine.images.untag("of-the-tests")


def a_release(plant, store, app, number):
    """Create a build whose image has one small layer of its own, old enough to be collected."""
    tree = Path(plant.config.state) / "tree"
    tree.mkdir()
    (tree / "text").write_text(f"{app.name} {number}")
    layer = store.add_layer(tree, move=True)
    image = store.write_image([layer], ImageConfig())
    row = plant.submit(app)
    builds.mark_building(row)
    rollout = builds.succeed(row, image, {"web": "true"})
    store.tag(f"{app.name}:v{rollout.release.number}", image)
    paths = [
        store.blob(layer.digest),
        plant.config.layers / f"{layer.diff_id.hex}.json",
        store.blob(image),
        sources.path_of(row.source),
    ]
    return image, layer, paths


def age(paths):
    for path in paths:
        os.utime(path, (time.time() - 7200,) * 2)


def test_images_and_sources_beyond_the_kept_releases_are_removed(plant, store, settings, caplog):
    settings.KEPT_RELEASES = 2
    app = plant.app()
    made = [a_release(plant, store, app, number) for number in range(4)]
    for _, _, paths in made:
        age(paths)
    with caplog.at_level(logging.INFO, logger="workers.tasks.garbage_collection"):
        upkeep.collect_garbage()
    for (image, layer, paths), stays in zip(made, (False, False, True, True), strict=True):
        assert [path.exists() for path in paths] == [stays] * len(paths)
        assert (store.layer(layer.diff_id) is not None) is stays
        if stays:
            assert store.image(image).layers
    assert store.find(f"{app.name}:v1") is None
    assert store.find(f"{app.name}:v4") == made[3][0]
    assert "removed 2 images, 2 layers" in caplog.text
    assert "2 sources" in caplog.text
    assert store.image(plant.builder.digest).layers
    rollback(plant.crew.owner, app=app, number=3)
    age(made[2][2])
    upkeep.collect_garbage()
    assert store.image(made[2][0]).layers, "the image is in one of the last releases again"
    with pytest.raises(ImageDamaged):
        store.image(made[0][0])


def test_the_layers_of_a_running_container_stay(plant, store):
    app = plant.app()
    image, _, paths = a_release(plant, store, app, 1)
    age(paths)
    roots = plant.engine._roots(garbage_collection.kept_images())
    assert image in roots.images
    in_use = {
        path.name for container in plant.engine.containers.list() for path in container.spec.layers
    }
    assert in_use <= {digest.hex for digest in roots.layers}


def test_above_the_high_mark_garbage_is_collected_at_once(plant, store, monkeypatch):
    app = plant.app()
    _, _, paths = a_release(plant, store, app, 1)
    app.deleted_at = "2020-01-01T00:00:00Z"
    app.save()
    age(paths)
    upkeep.watch_disk()
    assert paths[0].exists(), "the disk is below the high mark"
    monkeypatch.setattr(plant.engine, "config", replace(plant.config, disk_high=1, disk_low=1))
    upkeep.watch_disk()
    assert not paths[0].exists()


def test_a_build_on_a_full_disk_fails_with_that_reason(plant, store, monkeypatch):
    row = plant.submit(plant.app())
    from runtime.builds.builder import Builder

    full = replace(plant.config, disk_full=1)
    monkeypatch.setattr(plant.engine, "_builder", Builder(full, store, plant.engine.containers))
    build(row.pk)
    row = Build.objects.get(pk=row.pk)
    assert row.state == BuildState.FAILED
    assert (
        "at 1 % or more no build and no further step starts. Running apps are not affected."
        in row.reason
    )
    assert "image df" in row.reason
    assert plant.config.state == django_settings.STATE


def test_locks_of_finished_work_are_removed(plant):
    for name in ("build-4711", "published-4711", "step-abc", "images-collect"):
        (plant.config.locks / name).touch()
    garbage_collection.collect(plant.engine)
    assert not {"build-4711", "published-4711", "step-abc"} & {
        path.name for path in plant.config.locks.iterdir()
    }
    assert (plant.config.locks / "images-collect").exists()
