"""Tests of the build task with real rows, Redis and node; only the builder is a fake."""

from __future__ import annotations

import time

from portal.apps.models import ConfigVar
from portal.apps.secrets import encrypt
from portal.builds.models import Build, BuildState
from portal.deploys import actions as builds
from portal.lifecycle.app_actions import create_app
from portal.releases.models import Rollout
from runtime.builds.requests import BuildRequest
from runtime.errors import BuildFailed
from tests.portal.shipyard import submit_archive
from workers.tasks.build import build


def test_a_failed_build_has_its_reason_in_its_row_and_its_log(plant, failure):
    row = plant.submit(plant.app())
    plant.builder.fails_with = failure
    build(row.pk)
    row.refresh_from_db()
    assert row.state == BuildState.FAILED
    assert row.reason == "uv could not find a version of flask 99. Correct requirements.txt."
    log = (plant.config.build_logs / f"{row.pk}.log").read_text()
    assert log.endswith(
        " slipway system uv could not find a version of flask 99. Correct requirements.txt.\n"
    )
    assert not Rollout.objects.exists()


def test_a_build_that_breaks_with_an_unexpected_error_fails_too(plant):
    row = plant.submit(plant.app())
    plant.builder.fails_with = ZeroDivisionError("half")
    build(row.pk)
    row.refresh_from_db()
    assert row.state == BuildState.FAILED
    assert "internal error" in row.reason


def test_a_build_that_broke_once_starts_again_and_its_log_says_so(plant):
    class Shaky:
        def __init__(self, builder):
            self.whole, self.tries = builder, 0

        def build(self, request, log, cancelled=lambda: False):
            self.tries += 1
            if self.tries == 1:
                raise FileNotFoundError("another process removed it")
            return self.whole.build(request, log, cancelled=cancelled)

    shaky = plant.engine._builder = Shaky(plant.builder)
    row = plant.submit(plant.app())
    build(row.pk)
    plant.engine._builder = plant.builder
    row.refresh_from_db()
    assert (row.state, shaky.tries) == (BuildState.SUCCEEDED, 2)
    assert "It starts again" in (plant.config.build_logs / f"{row.pk}.log").read_text()


def build_until_cancelled(plant, row, begun):
    """Run a build that continues until it is cancelled, which `begun` causes."""

    class Patient:
        def build(self, request, log, cancelled):
            begun()
            while not cancelled():
                time.sleep(0.05)
            raise BuildFailed("It was stopped.")

    plant.engine._builder = Patient()
    build(row.pk)
    plant.engine._builder = plant.builder


def test_a_cancelled_build_stays_cancelled(plant):
    row = plant.submit(plant.app())
    builds.cancel(plant.crew.owner, build=row)
    build(row.pk)
    row.refresh_from_db()
    assert row.state == BuildState.CANCELLED
    running = plant.submit(plant.app())

    build_until_cancelled(plant, running, lambda: builds.cancel(plant.crew.owner, build=running))
    running.refresh_from_db()
    assert running.state == BuildState.CANCELLED


def test_a_team_with_many_queued_builds_lets_another_team_go_first(plant, broker):
    under_way, mine = plant.submit(plant.app()), plant.submit(plant.app())
    builds.mark_building(under_way)
    others = submit_archive(
        plant.crew.stranger,
        create_app(plant.crew.stranger, team=plant.crew.red, name="others"),
        b"stranger",
    )
    build(mine.pk)  # whatever build the task names, the build whose turn it is starts
    mine.refresh_from_db()
    others.refresh_from_db()
    assert (mine.state, others.state) == (BuildState.QUEUED, BuildState.SUCCEEDED)
    build(others.pk)
    mine.refresh_from_db()
    assert mine.state == BuildState.SUCCEEDED


def test_config_vars_are_build_secrets_and_are_masked_in_logs_and_reasons(plant):
    app = plant.app()
    ConfigVar.objects.create(app=app, name="TOKEN", encrypted_value=encrypt("very-s3cret-token"))
    requests: list[BuildRequest] = []

    class Talkative:
        def build(self, request, log, cancelled):
            requests.append(request)
            log("curl -H very-s3cret-token")
            raise BuildFailed("The step `login very-s3cret-token` failed.")

    plant.engine._builder = Talkative()
    row = plant.submit(app)
    build(row.pk)
    plant.engine._builder = plant.builder
    row.refresh_from_db()
    assert requests[0].config_vars == {"TOKEN": "very-s3cret-token"}
    assert row.reason == "The step `login ****` failed."
    log = (plant.config.build_logs / f"{row.pk}.log").read_text()
    assert "curl -H ****" in log
    assert "s3cret" not in log


def test_a_newer_build_cancels_the_running_one_and_its_log_says_which(plant):
    app = plant.app()
    older = plant.submit(app)
    newer: list[Build] = []

    build_until_cancelled(plant, older, lambda: newer.append(plant.submit(app)))
    older.refresh_from_db()
    assert (older.state, older.reason) == (
        BuildState.CANCELLED,
        f"Build {newer[0].pk} replaced it.",
    )
    log = (plant.config.build_logs / f"{older.pk}.log").read_text()
    assert log.endswith(
        f" slipway system The build was cancelled: Build {newer[0].pk} replaced it.\n"
    )
    build(newer[0].pk)
    newer[0].refresh_from_db()
    assert newer[0].state == BuildState.SUCCEEDED
