"""The effect of a manifest: config vars, formation, jobs, and required variables that stop a
release."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from portal.apps.config import config_of
from portal.apps.models import App, GeneratedSecret, ProcessFormation
from portal.apps.sizes import Size
from portal.deploys import actions as builds
from portal.errors import Conflict, NotAllowed, NotFound
from portal.jobs import actions as jobs
from portal.jobs.access import cron_for, jobs_of
from portal.jobs.models import CronJob, Run, RunKind, RunState
from portal.jobs.schedule import next_after
from portal.lifecycle.app_actions import scale, set_config_vars
from portal.lifecycle.key_rotation import reencrypt_all
from portal.releases.access import config_of_release
from portal.releases.actions import finish_failed, rollback
from portal.releases.models import Rollout, RolloutState
from tests.portal.conftest import People
from tests.portal.shipyard import roll_out, submit_archive

NONE = {"cpu": None, "memory": None, "disk": None, "pids": None}
MIB = 2**20


def said(**changes: Any) -> dict[str, Any]:
    """Return a manifest as the workers store it."""
    empty = {"processes": {}, "variables": {}, "crons": [], "health": None, "image_health": None}
    scripts = {name: {"command": "", "timeout": 1200.0} for name in ("release", "postdeploy")}
    return {"file": "slipway.toml", **empty, **scripts, **changes}


def variable(**changes: Any) -> dict[str, Any]:
    return {"value": None, "digits": 0, "required": False, "description": "", **changes}


def process(count: int | None = None, **sizes: int) -> dict[str, Any]:
    return {"count": count, "sizes": {**NONE, **sizes}}


def cron(name: str, schedule: str = "0 * * * *", **changes: Any) -> dict[str, Any]:
    usual = {
        "command": f"./{name}",
        "timezone": "UTC",
        "overlap": "skip",
        "timeout": 60.0,
        "sizes": dict(NONE),
    }
    return {"name": name, "schedule": schedule, **usual, **changes}


def made(people: People, app: App, file: dict[str, Any] | None = None, **processes: str) -> Rollout:
    build = submit_archive(people.owner, app)
    assert builds.mark_building(build)
    rollout = builds.succeed(build, "sha256:" + "0" * 64, {"web": "run", **processes}, file)
    assert rollout is not None
    return rollout


def deployed(
    people: People, app: App, file: dict[str, Any] | None = None, **processes: str
) -> Rollout:
    rollout = made(people, app, file, **processes)
    roll_out(rollout)
    rollout.refresh_from_db()
    app.refresh_from_db()
    assert rollout.state == RolloutState.LIVE
    return rollout


def test_defaults_set_missing_vars_and_a_secret_is_generated_once(people: People) -> None:
    app = people.app()
    set_config_vars(people.owner, app=app, changes={"MINE": "by hand"})
    wanted = said(
        variables={
            "MINE": variable(value="default"),
            "LEVEL": variable(value="info"),
            "KEY": variable(digits=20),
        }
    )
    rollout = deployed(people, app, wanted)
    config = config_of(app)
    assert (config["MINE"], config["LEVEL"], len(config["KEY"])) == ("by hand", "info", 20)
    assert config_of_release(rollout.release) == config
    steps = [step["text"] for step in rollout.steps]
    assert steps[:2] == ["Set LEVEL to its default", "Set KEY to a generated secret"]
    assert config["KEY"] not in str(rollout.steps)
    set_config_vars(people.owner, app=app, changes={"KEY": None, "LEVEL": "debug"})
    deployed(people, app, wanted)
    assert config_of(app) == {
        **config,
        "LEVEL": "debug",
    }, "the same secret again, and no default over a person's value"
    stored = bytes(GeneratedSecret.objects.get(app=app).encrypted_value)
    assert config["KEY"].encode() not in stored
    assert reencrypt_all() > 0
    assert bytes(GeneratedSecret.objects.get(app=app).encrypted_value) != stored


def test_a_rollback_to_before_the_secret_does_not_lose_it(people: People) -> None:
    app = people.app()
    deployed(people, app)
    wanted = said(variables={"KEY": variable(digits=64)})
    deployed(people, app, wanted)
    drawn = config_of(app)["KEY"]
    roll_out(rollback(people.owner, app=app, number=1, with_old_config=True))
    assert "KEY" not in config_of(app)
    deployed(people, app, wanted)
    assert config_of(app)["KEY"] == drawn


def test_a_missing_required_var_stops_the_release_until_it_is_set(people: People) -> None:
    app = people.app()
    wanted = said(
        variables={
            "STRIPE": variable(required=True, description="From the dashboard"),
            "OTHER": variable(required=True),
        }
    )
    first = made(people, app, wanted)
    assert first.state == RolloutState.FAILED
    assert (
        "v1 needs the config vars STRIPE (From the dashboard), OTHER: slipway.toml requires them,"
        " and they have no value." in first.reason
    )
    assert '{"changes": {"STRIPE": "VALUE", "OTHER": "VALUE"}}' in first.reason
    assert not ProcessFormation.objects.filter(app=app).exists()
    assert set_config_vars(people.owner, app=app, changes={"STRIPE": "sk"}) is None
    released = set_config_vars(people.owner, app=app, changes={"OTHER": "x"})
    assert released is not None
    assert (released.number, released.image, released.build) == (
        2,
        first.release.image,
        first.release.build,
    )
    rollout = Rollout.objects.get(release=released)
    assert rollout.state == RolloutState.PENDING
    roll_out(rollout)
    app.refresh_from_db()
    unset = set_config_vars(people.owner, app=app, changes={"STRIPE": None})
    assert unset is not None
    stopped = Rollout.objects.get(release=unset)
    assert stopped.state == RolloutState.FAILED
    assert "the config var STRIPE" in stopped.reason
    app.refresh_from_db()
    assert app.current_release == released


def test_a_stopped_deploy_does_not_affect_an_open_rollout_or_later_changes(people: People) -> None:
    app = people.app()
    live = deployed(people, app)
    under_way = made(people, app)
    made(people, app, said(variables={"STRIPE": variable(required=True)}))
    under_way.refresh_from_db()
    assert under_way.state == RolloutState.PENDING
    finish_failed(under_way, "no")
    changed = set_config_vars(people.owner, app=app, changes={"UNRELATED": "1"})
    assert changed is not None
    assert changed.build == live.release.build
    released = set_config_vars(people.owner, app=app, changes={"STRIPE": "sk"})
    assert released is not None
    assert released.declared.variables["STRIPE"].required


def test_the_first_deploys_use_the_formation_of_the_manifest_and_scaling_by_people_is_kept(
    people: People,
) -> None:
    app = people.app()
    wanted = said(processes={"web": process(2, memory=128 * MIB, cpu=250), "worker": process(0)})
    finish_failed(made(people, app, wanted, worker="w"), "it did not come up")
    rows = {row.process: Size.of(row) for row in ProcessFormation.objects.filter(app=app)}
    assert rows == {"web": Size(count=2, memory=128 * MIB, cpu=250), "worker": Size(count=0)}
    corrected = said(processes={"web": process(2, memory=256 * MIB), "worker": process(0)})
    scale(people.owner, app=app, sizes={"worker": Size(count=1)})
    deployed(people, app, corrected, worker="w")
    rows = {row.process: Size.of(row) for row in ProcessFormation.objects.filter(app=app)}
    assert rows == {"web": Size(count=2, memory=256 * MIB), "worker": Size(count=1)}
    deployed(
        people,
        app,
        said(processes={"web": process(7), "clock": process(memory=64 * MIB)}),
        clock="c",
    )
    rows = {row.process: Size.of(row) for row in ProcessFormation.objects.filter(app=app)}
    assert rows == {
        "web": Size(count=2, memory=256 * MIB),
        "clock": Size(memory=64 * MIB),
    }, "only the new process type is formed"


def test_a_formation_over_the_quota_is_reduced_and_reported(people: People) -> None:
    app = people.app()
    rollout = made(people, app, said(processes={"web": process(900, memory=2**50)}))
    quota = people.blue.quota
    row = ProcessFormation.objects.get(app=app)
    assert (row.count, row.memory) == (1, quota.memory_per_instance)
    assert "less than slipway.toml declares. " in rollout.steps[0]["text"]


def test_cron_jobs_change_with_the_live_release(people: People) -> None:
    app = people.app()
    made(people, app, said(crons=[cron("never")]))
    assert not CronJob.objects.exists()
    deployed(people, app, said(crons=[cron("a"), cron("b", "0 0 1 1 *")]))
    before = {job.name: job.next_at for job in CronJob.objects.filter(app=app)}
    CronJob.objects.filter(name="a").update(next_at=before["a"] - timedelta(minutes=1))
    deployed(people, app, said(crons=[cron("a", command="./changed"), cron("c")]))
    after = {job.name: job for job in CronJob.objects.filter(app=app)}
    assert after.keys() == {"a", "c"}
    assert (after["a"].command, after["a"].next_at) == (
        "./changed",
        before["a"] - timedelta(minutes=1),
    )
    roll_out(rollback(people.owner, app=app, number=2))
    assert [job.name for job in CronJob.objects.filter(app=app)] == ["a", "b"]


def test_a_due_time_makes_one_run_and_missed_times_are_combined(people: People) -> None:
    app = people.app()
    deployed(people, app, said(crons=[cron("sweep", "*/5 * * * *")]))
    due = timezone.now() - timedelta(hours=3)
    CronJob.objects.update(next_at=due)
    seen_by_two = [CronJob.objects.get(), CronJob.objects.get()]
    now = timezone.now()
    run = jobs.tick(seen_by_two[0], now)
    assert jobs.tick(seen_by_two[1], now) is None
    assert run is not None
    assert (run.scheduled_for, run.state, run.source) == (due, RunState.QUEUED, "cron.sweep")
    assert CronJob.objects.get().next_at > now
    CronJob.objects.update(next_at=due)
    assert jobs.tick(CronJob.objects.get(), now) is None, (
        "the same tick again, as after a replaced row"
    )
    assert Run.objects.count() == 1


@pytest.mark.parametrize(
    ("overlap", "states"),
    [
        ("skip", ["running", "skipped"]),
        ("allow", ["running", "running"]),
        ("replace", ["stopped", "running"]),
    ],
)
def test_the_overlap_rule_decides_while_the_last_run_is_running(
    people: People, overlap: str, states: list[str]
) -> None:
    app = people.app()
    deployed(people, app, said(crons=[cron("sweep", overlap=overlap)]))
    for minutes in (2, 1):
        CronJob.objects.update(next_at=timezone.now() - timedelta(minutes=minutes))
        run = jobs.tick(CronJob.objects.get(), timezone.now())
        assert run is not None
        jobs.assign_to_worker(run, most=4)
    rows = list(Run.objects.order_by("id"))
    assert [row.state for row in rows] == states
    assert jobs_of(app).lines[0].last == rows[1]


def test_run_now_is_for_members_and_follows_the_overlap_rule(people: People) -> None:
    app = people.app()
    deployed(people, app, said(crons=[cron("sweep")]))
    job = cron_for(app, "sweep")
    with pytest.raises(NotFound, match="no cron job other"):
        cron_for(app, "other")
    with pytest.raises((NotAllowed, NotFound)):
        jobs.run_now(people.stranger, app=app, job=job)
    run = jobs.run_now(people.owner, app=app, job=job)
    assert (run.state, run.created_by, run.scheduled_for) == (RunState.QUEUED, people.owner, None)
    with pytest.raises(Conflict, match="sweep is already running"):
        jobs.run_now(people.owner, app=app, job=job)
    assert jobs.assign_to_worker(run, most=4)
    assert not jobs.assign_to_worker(run, most=4)
    assert jobs.finish(run, RunState.FAILED, "It exited with code 1.")
    assert not jobs.finish(run, RunState.SUCCEEDED)
    second = jobs.run_now(people.owner, app=app, job=job)
    assert not jobs.assign_to_worker(second, most=0), "its team has no place"


def test_the_post_deploy_script_is_queued_once_after_the_first_live_release(people: People) -> None:
    app = people.app()
    file = said(postdeploy={"command": "./seed", "timeout": 5.0})
    finish_failed(made(people, app, file), "no")
    assert not Run.objects.exists()
    rollout = deployed(people, app, file)
    run = Run.objects.get()
    assert (run.kind, run.command, run.timeout, run.release) == (
        RunKind.POSTDEPLOY,
        "./seed",
        5.0,
        rollout.release,
    )
    deployed(people, app, file)
    assert Run.objects.count() == 1
    jobs.assign_to_worker(run, most=4)
    jobs.finish(run, RunState.FAILED, "It exited with code 1.\nIts last lines:\nno table")
    rollout.refresh_from_db()
    assert rollout.steps[-1]["text"] == "The post-deploy script failed. It exited with code 1."
    other = people.app("other")
    deployed(people, other)
    deployed(people, other, file)
    assert not Run.objects.filter(app=other).exists(), (
        "a script that comes later than the first deploy"
    )


def test_old_runs_are_deleted_except_the_last_of_each_job(people: People) -> None:
    app = people.app()
    rollout = deployed(people, app, said(postdeploy={"command": "./seed", "timeout": 5.0}))
    usual = {
        "app": app,
        "release": rollout.release,
        "kind": RunKind.CRON,
        "command": "x",
        "timeout": 1,
    }
    for name, count in (("many", jobs.KEPT + 5), ("few", 2)):
        for _ in range(count):
            Run.objects.create(
                **usual, name=name, state=RunState.SUCCEEDED, finished_at=timezone.now()
            )
    Run.objects.create(
        **usual, name="few", state=RunState.FAILED, finished_at=timezone.now() - timedelta(days=31)
    )
    jobs.forget_old()
    assert Run.objects.filter(name="many").count() == jobs.KEPT
    assert Run.objects.filter(name="few").count() == 2
    assert Run.objects.filter(kind=RunKind.POSTDEPLOY).count() == 1


@pytest.mark.parametrize(
    ("schedule", "zone", "moment", "expected"),
    [
        ("30 7 * * MON-FRI", "UTC", "2026-11-27T07:30:00", "2026-11-30T07:30:00"),
        ("0 7 * * *", "Europe/Berlin", "2026-01-01T00:00:00", "2026-01-01T06:00:00"),
        # 02:30 does not exist in that night
        ("30 2 * * *", "Europe/Berlin", "2026-03-29T00:30:00", "2026-03-29T01:00:00"),
        # 02:30 occurs twice in that night, and the job has run
        ("30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00", "2026-10-26T01:30:00"),
        ("*/15 * * * *", "UTC", "2026-01-01T00:00:01", "2026-01-01T00:15:00"),
    ],
)
def test_the_next_time_of_a_schedule(schedule: str, zone: str, moment: str, expected: str) -> None:
    at, then = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (moment, expected))
    assert next_after(schedule, zone, at) == then
