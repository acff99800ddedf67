"""Tests of one-off runs with real containers.

They start by schedule and by hand. They end, time out, survive kills, and start only once.
"""

from __future__ import annotations

import re
import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

from django.utils import timezone

from portal.apps.models import App
from portal.deploys import actions as builds
from portal.jobs import actions as jobs
from portal.jobs.access import cron_for
from portal.jobs.models import CronJob, Run, RunState
from portal.lifecycle.app_actions import delete_app, set_config_vars
from portal.releases import actions as releases
from portal.releases.models import RolloutState
from runtime.builds.requests import BuiltImage
from runtime.contract.health import CheckKind, HealthCheck
from runtime.contract.manifest import AppFile, Overlap, Process, Script, Sizes, Variable
from runtime.contract.manifest import CronJob as Cron
from runtime.contract.quantities import Bytes, Millicores
from runtime.converge.desired import Sleep
from runtime.converge.one_off import RunOrder
from runtime.converge.request_counts import Requests
from tests.workers.test_tasks import queued
from workers.bridge import translate
from workers.tasks import job_runs
from workers.tasks.converge import converge, remove_app
from workers.tasks.rollout import roll_out

SMALL = Sizes(cpu=Millicores(500), memory=Bytes(64 * 2**20), disk=Bytes(32 * 2**20), pids=32)


def cron(name: str, command: str, **changes: Any) -> Cron:
    return Cron(name=name, schedule="0 0 1 1 *", command=command, sizes=SMALL, **changes)


def live(plant, *crons: Cron, mode: str = "ok", **changes: Any):
    """Create an app with a live release whose manifest has these settings."""
    app = plant.app()
    build = plant.submit(app)
    builds.mark_building(build)
    file = AppFile(
        file="slipway.toml", crons=crons, processes={"web": Process(sizes=SMALL)}, **changes
    )
    built = BuiltImage(digest=plant.builder.digest, processes={}, app_file=file)
    processes = {"web": f"python3 /srv/app.py v{build.pk} {mode}"}
    rollout = builds.succeed(build, built.digest, processes, translate.app_file(built))
    roll_out(rollout.pk)
    converge(app.pk)
    rollout.refresh_from_db()
    assert rollout.state == RolloutState.LIVE, rollout.reason
    app.refresh_from_db()
    return app, rollout


def begin(plant, app: App, name: str) -> Run:
    run = jobs.run_now(plant.crew.owner, app=app, job=cron_for(app, name))
    job_runs.update_runs(app.pk)
    run.refresh_from_db()
    return run


def over(plant, run: Run) -> Run:
    """Return the run after it has ended and the worker has noticed it."""

    def is_over() -> bool:
        job_runs.update_runs(run.app_id)
        run.refresh_from_db()
        return RunState(run.state).is_over

    plant.until(is_over)
    return run


def log_of(plant, app: App) -> str:
    return (plant.config.app_logs / f"{app.name}.log").read_text()


def test_a_due_job_runs_once_with_its_output_logged_and_its_failure_shown(plant, broker):
    app, rollout = live(
        plant,
        cron("good", "echo $WORD from $SLIPWAY_PROCESS"),
        cron("bad", "echo no such table >&2; exit 3"),
        variables={"WORD": Variable(value="hello")},
    )
    CronJob.objects.update(next_at=timezone.now() - timedelta(seconds=1))
    broker.delete("node")
    for _ in range(3):
        job_runs.tick()
    assert set(map(str, queued(broker, "node"))) == {str(("slipway.tend_runs", [app.pk]))}
    bad, good = Run.objects.order_by("name")
    over(plant, good), over(plant, bad)
    assert (good.state, good.reason, bad.state) == (RunState.SUCCEEDED, "", RunState.FAILED)
    assert bad.reason == "It exited with code 3.\nIts last lines:\nno such table"
    assert good.started_at <= good.finished_at
    assert re.search(r"Z cron\.good stdout hello from cron\.good\n", log_of(plant, app))
    assert "Z cron.bad stderr no such table\n" in log_of(plant, app)
    assert log_of(plant, app).count("hello from cron.good") == 1
    assert plant.engine.runs.all() == []
    assert plant.get(app).status_code == 200
    assert rollout.release == good.release


def test_a_run_past_its_time_is_stopped_and_a_newer_run_replaces_it(plant):
    app, _ = live(
        plant,
        cron("slow", "sleep 300", timeout=1.0),
        cron("again", "sleep 300", overlap=Overlap.REPLACE),
    )
    slow = over(plant, begin(plant, app, "slow"))
    assert (slow.state, slow.reason) == (
        RunState.FAILED,
        "The run took more than 1 s and was stopped.",
    )
    first = begin(plant, app, "again")
    assert first.state == RunState.RUNNING
    second = begin(plant, app, "again")
    first.refresh_from_db()
    assert (first.state, second.state) == (RunState.STOPPED, RunState.RUNNING)
    assert plant.engine.runs.of(app.name).keys() == {second.pk}


def test_a_person_can_stop_a_run_while_it_runs_and_while_it_waits(plant):
    app, _ = live(plant, cron("slow", "echo begun; sleep 300"), cron("later", "sleep 300"))
    slow = begin(plant, app, "slow")
    container = plant.engine.runs.of(app.name)[slow.pk]
    plant.until(lambda: plant.engine.runs.last_lines(container.id) == ["begun"])
    waits = jobs.run_now(plant.crew.owner, app=app, job=cron_for(app, "later"))
    for run in (slow, waits):
        jobs.stop(plant.crew.owner, app=app, run=run)
    assert plant.engine.runs.of(app.name).keys() == {slow.pk}
    job_runs.update_runs(app.pk)
    assert plant.engine.runs.all() == []
    outcomes = {(run.state, run.reason, run.finished_at is not None) for run in Run.objects.all()}
    assert outcomes == {(RunState.STOPPED, "owner stopped it.", True)}
    assert "Z cron.slow stdout begun\n" in log_of(plant, app), "its last output is kept"
    assert plant.get(app).status_code == 200


def test_a_failed_post_deploy_script_and_a_failed_release_phase_run_again(plant):
    app, _ = live(plant, postdeploy=Script(command='test -n "$SEED" || exit 4'))
    failed = Run.objects.get()
    assert over(plant, failed).reason.startswith("It exited with code 4.")
    changed = set_config_vars(plant.crew.owner, app=app, changes={"SEED": "1"})
    roll_out(changed.rollouts.get().pk)
    again = over(plant, jobs.run_again(plant.crew.owner, app=app, run=failed))
    assert (again.state, again.release, again.created_by) == (
        RunState.SUCCEEDED,
        changed,
        plant.crew.owner,
    )
    build = plant.submit(app)
    builds.mark_building(build)
    processes = {"web": "python3 /srv/app.py mended ok", "release": "echo migrated"}
    first = builds.succeed(
        build,
        plant.builder.digest,
        processes,
        translate.app_file(BuiltImage(digest=plant.builder.digest, processes={})),
    )
    releases.advance(first, RolloutState.RELEASING)
    # As when the app's database was not available.
    releases.finish_failed(first, "The release phase exited with code 1.")
    second = releases.retry_rollout(plant.crew.owner, app=app, number=first.release.number)
    roll_out(second.pk)
    converge(app.pk)
    second.refresh_from_db()
    assert second.state == RolloutState.LIVE, second.reason
    assert "The release phase succeeded" in [step["text"] for step in second.steps]
    assert plant.get(app).text.startswith("mended")


def test_a_worker_killed_between_two_steps_loses_and_repeats_no_run(plant):
    app, _ = live(plant, cron("count", "echo counted; sleep 2"))
    run = jobs.run_now(plant.crew.owner, app=app, job=cron_for(app, "count"))
    jobs.assign_to_worker(run, most=4)  # the worker is killed here
    job_runs.update_runs(app.pk)
    run.refresh_from_db()
    assert run.started_at is not None
    Run.objects.filter(pk=run.pk).update(
        started_at=None
    )  # the worker was killed before it wrote the time
    assert over(plant, run).state == RunState.SUCCEEDED
    assert log_of(plant, app).count("counted") == 1
    lost = begin(plant, app, "count")
    plant.engine.runs.remove_all(app.name)
    assert over(plant, lost).reason == "The node was shut down during the run."
    left = jobs.run_now(plant.crew.owner, app=app, job=cron_for(app, "count"))
    jobs.assign_to_worker(left, most=4)
    order = RunOrder(
        number=left.pk,
        source=left.source,
        command="sleep 60",
        limits=translate.run_limits(left, app.team.quota),
    )
    desired = translate.desired_app(app)
    plant.engine.runs.start(desired, desired.current, order)
    jobs.finish(left, RunState.FAILED, "and killed before its container was removed")
    job_runs.update_runs(app.pk)
    assert plant.engine.runs.all() == []


def test_a_team_has_a_limit_of_runs_and_a_deleted_app_has_none(plant):
    app, _ = live(
        plant,
        *(cron(f"job{number}", "sleep 300") for number in range(job_runs.AT_ONCE_PER_TEAM + 1)),
    )
    started = [begin(plant, app, f"job{number}") for number in range(job_runs.AT_ONCE_PER_TEAM + 1)]
    assert [run.state for run in started] == [RunState.RUNNING] * job_runs.AT_ONCE_PER_TEAM + [
        RunState.QUEUED
    ]
    delete_app(plant.crew.owner, app=app, typed_name=app.name)
    job_runs.update_runs(app.pk)
    assert set(Run.objects.values_list("state", flat=True)) == {RunState.STOPPED}
    assert plant.engine.runs.all() == []
    order = RunOrder(
        number=999,
        source="cron.late",
        command="sleep 60",
        limits=translate.run_limits(started[0], app.team.quota),
    )
    desired = translate.desired_app(app)
    remove_app(app.pk)
    # Started by a worker that has not seen the deletion of the app.
    plant.engine.runs.start(desired, desired.current, order)
    job_runs.tick()
    assert plant.engine.runs.all() == []
    assert not App.objects.filter(pk=app.pk).exists()


def test_workers_and_supervisor_complete_a_run_by_themselves(plant):
    app, rollout = live(
        plant, cron("quick", "echo done"), postdeploy=Script(command="echo seeded the $SLIPWAY_APP")
    )
    plant.supervisor()
    plant.worker()
    plant.until(lambda: Run.objects.get(kind="postdeploy").state == RunState.SUCCEEDED)
    rollout.refresh_from_db()
    assert rollout.steps[-1]["text"] == "The post-deploy script succeeded"
    assert f"Z postdeploy stdout seeded the {app.name}\n" in log_of(plant, app)
    CronJob.objects.update(next_at=timezone.now())
    plant.until(lambda: Run.objects.filter(kind="cron", state=RunState.SUCCEEDED).exists())
    assert Run.objects.filter(kind="cron").count() == 1
    plant.until(lambda: "Z cron.quick stdout done\n" in log_of(plant, app))


def test_a_release_is_checked_as_its_manifest_says(plant):
    script = ("/bin/sh", "-c", "echo looked; test -e /tmp/ready")
    by_command = HealthCheck(
        kind=CheckKind.COMMAND, command=script, start_period=2.0, interval=1.0, attempts=1
    )
    app, _ = live(plant, health=HealthCheck(kind=CheckKind.TCP), mode="ok")
    build = plant.submit(app)
    builds.mark_building(build)
    file = AppFile(file="slipway.toml", health=by_command, processes={"web": Process(sizes=SMALL)})
    built = BuiltImage(digest=plant.builder.digest, processes={}, app_file=file)
    never = builds.succeed(
        build, built.digest, {"web": "python3 /srv/app.py never ok"}, translate.app_file(built)
    )
    roll_out(never.pk)
    never.refresh_from_db()
    assert never.state == RolloutState.FAILED
    assert (
        "Its health check `echo looked; test -e /tmp/ready` ended with code 1, with the output:"
        " looked" in never.reason
    )
    build = plant.submit(app)
    builds.mark_building(build)
    ready = builds.succeed(
        build,
        built.digest,
        {"web": "touch /tmp/ready; python3 /srv/app.py ready ok"},
        translate.app_file(built),
    )
    roll_out(ready.pk)
    ready.refresh_from_db()
    assert ready.state == RolloutState.LIVE, ready.reason
    assert plant.get(app).text.startswith("ready")


def test_a_run_keeps_its_app_awake_unless_its_owner_disables_that(plant):
    app, _ = live(plant, cron("long", "sleep 60"))
    begun = time.time() - 100
    plant.engine.app_files.save_request_counts(
        app.name, Requests(counted_since=begun, last_at=begun, groups={})
    )
    desired = replace(translate.desired_app(app), sleep=Sleep(after=10.0))

    def active_at(**sleep: bool) -> float | None:
        return plant.engine.look(
            replace(desired, sleep=replace(desired.sleep, **sleep))
        ).observed.active_at

    assert active_at() == begun
    run = begin(plant, app, "long")
    assert run.state == RunState.RUNNING
    assert active_at() > time.time() - 10
    assert active_at(jobs_keep_awake=False) == begun
    jobs.stop(plant.crew.owner, app=app, run=run)
    job_runs.update_runs(app.pk)
    assert active_at() == begun


def test_a_command_of_a_person_runs_once_and_its_exit_code_is_kept(plant):
    app, rollout = live(plant, variables={"WORD": Variable(value="hello")})
    owner = plant.crew.owner
    good = jobs.run_command(owner, app=app, command="echo $WORD; echo also >&2", timeout=60.0)
    bad = jobs.run_command(owner, app=app, command="printf 'no line end'; exit 7", timeout=60.0)
    over(plant, good), over(plant, bad)
    assert (good.state, good.exit_code, good.release) == (RunState.SUCCEEDED, 0, rollout.release)
    assert (bad.state, bad.exit_code) == (RunState.FAILED, 7)
    log = log_of(plant, app)
    assert log.count(f"Z run.{good.pk} stdout hello\n") == 1
    assert log.count(f"Z run.{good.pk} stderr also\n") == 1
    assert log.count(f"Z run.{bad.pk} stdout no line end\n") == 1
    killed = jobs.run_command(owner, app=app, command="true; kill -9 $$", timeout=60.0)
    assert over(plant, killed).exit_code == 137
    late = jobs.run_command(owner, app=app, command="sleep 300", timeout=1.0)
    assert "more than 1 s" in over(plant, late).reason
    assert plant.engine.runs.all() == []


def test_the_last_line_of_a_run_is_in_the_log_when_its_outcome_is(plant):
    """Otherwise a client that follows the log until the outcome would miss it."""
    app, _ = live(plant)
    run = jobs.run_command(plant.crew.owner, app=app, command="echo last words", timeout=60.0)
    runs, states = plant.engine.runs, []

    def ship_and_note(id: str) -> None:
        states.append(Run.objects.get(pk=run.pk).state)
        runs.ship_ended(id)

    plant.engine.runs = replace(runs, ship_ended=ship_and_note)
    over(plant, run)
    assert states == [RunState.RUNNING]
