"""Tests of the deployment of an image from another registry.

They also check the messages when an image cannot be pulled.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import pytest

from portal.builds.models import BuildState, Origin
from portal.deploys import actions as builds
from portal.releases.models import Release, Rollout, RolloutState
from runtime.builds.builder import Builder
from runtime.contract.quantities import Bytes
from runtime.images.exchange.transfer import Transfer
from runtime.images.manifest import ImageConfig
from tests.runtime.images.faulty_registry import MACHINE, server
from tests.runtime.images.test_transfer import PASSWORD, USER, registry
from workers.bridge import translate
from workers.tasks.build import build
from workers.tasks.rollout import roll_out

__all__ = ["registry", "server"]


@pytest.fixture
def dock(plant, registry):
    """Yield the plant with the real builder, for which plain HTTP to that registry is allowed."""
    fake = plant.engine._builder
    config = replace(plant.config, plain_registries=(registry.address,))
    plant.engine._builder = Builder(config, plant.engine.images, plant.engine.containers)
    yield plant
    plant.engine._builder = fake


@pytest.fixture
def elsewhere(dock, registry):
    """Return the reference of an app's image in that registry. Only its owner may pull it."""
    store = dock.engine.images
    config = ImageConfig(
        environment={"PATH": "/usr/bin:/bin"},
        command=("python3", "/srv/app.py", "fetched", "ok"),
        working_directory="/tmp",
    )
    with store.lease():
        digest = store.write_image(list(store.layers_of(dock.builder.digest)), config)
        Transfer(dock.config, store).send(
            digest, f"docker://{registry.address}/team/app:1", registry.access
        )
    return f"{registry.address}/team/app:1"


def fetched(dock, reference, **credentials):
    """Return the row of a finished build, its app, and the text of its log."""
    app = dock.app()
    row = builds.submit_image(
        dock.crew.owner, app=app, reference=reference, origin=Origin.API, **credentials
    )
    build(row.pk)
    row.refresh_from_db()
    return row, app, (dock.config.build_logs / f"{row.pk}.log").read_text()


def test_an_image_is_pulled_with_the_owners_password_and_runs(dock, elsewhere):
    row, app, log = fetched(dock, elsewhere, username=USER, password=PASSWORD)
    assert row.state == BuildState.SUCCEEDED, row.reason
    assert f"Pulling {elsewhere} as {USER}" in log
    assert PASSWORD not in log
    assert row.encrypted_credentials is None, "the credentials are deleted"
    rollout = Rollout.objects.get(release=Release.objects.get(app=app))
    roll_out(rollout.pk)
    rollout.refresh_from_db()
    assert rollout.state == RolloutState.LIVE, rollout.reason
    assert dock.get(app).text.startswith("fetched ")
    assert dock.engine.images.verify() == []


def test_an_image_over_the_teams_limit_is_refused(dock, elsewhere, monkeypatch):
    monkeypatch.setattr(translate, "BUILD_DISK", Bytes(1000))
    row, _, log = fetched(dock, elsewhere, username=USER, password=PASSWORD)
    assert row.state == BuildState.FAILED, log
    assert "1000 Bytes" in row.reason
    assert not list((dock.config.images / "ingest").iterdir())


def test_a_build_whose_password_cannot_be_decrypted_fails_with_a_reason(dock):
    row = builds.submit_image(
        dock.crew.owner,
        app=dock.app(),
        reference="ghcr.io/me/app:1",
        origin=Origin.API,
        username="me",
        password="x",
    )
    row.encrypted_credentials = b"by a key that is gone"
    row.save(update_fields=("encrypted_credentials",))
    build(row.pk)
    row.refresh_from_db()
    assert (row.state, row.encrypted_credentials) == (BuildState.FAILED, None)
    assert "internal error" in row.reason


def test_a_failed_pull_names_the_image_and_the_remedy(dock, elsewhere):
    for reference, credentials, what, remedy in (
        (elsewhere, {}, f"Could not pull the image {elsewhere}", "Check user name and password"),
        (
            elsewhere,
            {"username": USER, "password": "wrong horse"},
            f"Could not pull the image {elsewhere}",
            "Check user name and password",
        ),
        (
            f"{elsewhere}-none",
            {"username": USER, "password": PASSWORD},
            "manifest unknown",
            "Check the name and the tag.",
        ),
        (
            "localhost:9/team/app",
            {},
            "may not use images from localhost:9/team/app",
            "SLIPWAY_REGISTRIES",
        ),
        ("Team/App", {}, "not a valid image name", "HOST/NAME:TAG"),
    ):
        row, _, log = fetched(dock, reference, **credentials)
        assert row.state == BuildState.FAILED, log
        assert what in row.reason
        assert remedy in row.reason
        assert "wrong horse" not in log + row.reason
        assert row.encrypted_credentials is None


@contextmanager
def before(plant, server, *, seconds):
    """Give the plant the real builder, which has `seconds` for a pull from this registry."""
    fake = plant.engine._builder
    config = replace(plant.config, plain_registries=(server.address,), pull_timeout=seconds)
    plant.engine._builder = Builder(config, plant.engine.images, plant.engine.containers)
    try:
        yield
    finally:
        plant.engine._builder = fake


@pytest.mark.parametrize(
    ("mode", "remedy"),
    [
        ("429", "limits requests"),
        ("hangs", "SLIPWAY_PULL_TIMEOUT"),
        ("other machine", f"linux/{MACHINE}"),
        ("gone", "that the registry runs"),
    ],
)
def test_a_registry_that_misbehaves_fails_the_deploy_and_leaves_no_file(
    plant, server, mode, remedy
):
    if mode == "gone":
        server.stop()
    server.mode = mode
    with before(plant, server, seconds=4 if mode == "hangs" else 60):
        row, app, log = fetched(plant, f"{server.address}/team/app:1")
    assert row.state == BuildState.FAILED, log
    assert row.reason.startswith(f"Could not pull the image {server.address}/team/app:1: ")
    assert remedy in row.reason
    assert not Release.objects.filter(app=app).exists()
    assert not list((plant.config.images / "ingest").iterdir())


def test_a_deploy_of_an_image_can_be_cancelled_during_its_pull(plant, server):
    server.mode = "hangs"
    row = builds.submit_image(
        plant.crew.owner,
        app=plant.app(),
        reference=f"{server.address}/team/app:1",
        origin=Origin.API,
    )
    with before(plant, server, seconds=60), ThreadPoolExecutor(1) as worker:
        building = worker.submit(build, row.pk)
        plant.until(lambda: server.asked)
        builds.cancel(plant.crew.owner, build=row)
        building.result(30)
    row.refresh_from_db()
    assert row.state == BuildState.CANCELLED, row.reason
    assert not list((plant.config.images / "ingest").iterdir())
