"""Tests of tasks with real rows, a real Redis and a real node; only the builder is a fake."""

from __future__ import annotations

import json
import threading
from contextlib import ExitStack

import pytest

from portal.apps.models import App, ConfigVar, Instance, InstanceState, ProcessFormation
from portal.apps.secrets import encrypt
from portal.apps.sizes import Size
from portal.builds.models import Build, BuildState
from portal.deploys import actions as builds
from portal.lifecycle.app_actions import restart, scale
from portal.quotas.models import Quota
from portal.releases.actions import rollback
from portal.releases.models import Rollout, RolloutState
from runtime import journal
from workers.tasks import upkeep
from workers.tasks.build import build
from workers.tasks.converge import apply_quota, converge, remove_app
from workers.tasks.rollout import AT_ONCE_PER_TEAM, roll_out


def queued(broker, queue):
    """Return names and arguments of the queue's messages, oldest first."""
    messages = [json.loads(raw) for raw in reversed(broker.lrange(queue, 0, -1))]
    return [
        (
            message["headers"]["task"],
            json.loads(
                message["headers"]["argsrepr"]
                .replace("(", "[")
                .replace(",)", "]")
                .replace(")", "]")
            ),
        )
        for message in messages
    ]


def deploy(plant, app, mode="ok", **processes):
    rollout = plant.release(app, mode, **processes)
    roll_out(rollout.pk)
    converge(app.pk)
    rollout.refresh_from_db()
    return rollout


def test_a_build_becomes_a_release_that_gets_the_traffic(plant, broker):
    app = plant.app()
    row = plant.submit(app)
    assert ("slipway.build", [row.pk]) in queued(broker, "build")
    build(row.pk)
    row.refresh_from_db()
    assert row.state == BuildState.SUCCEEDED
    assert (
        "build stdout Source: hello.zip\n"
        in (plant.config.build_logs / f"{row.pk}.log").read_text()
    )
    rollout = Rollout.objects.get(release__build=row)
    assert ("slipway.roll_out", [rollout.pk]) in queued(broker, "node")
    assert plant.engine.images.find(f"{app.name}:v1") == plant.builder.digest
    roll_out(rollout.pk)
    rollout.refresh_from_db()
    app.refresh_from_db()
    assert rollout.state == RolloutState.LIVE
    assert app.current_release_id == rollout.release_id
    assert plant.get(app).text.startswith("v1 ")
    texts = [step["text"] for step in rollout.steps]
    assert "Start web 1 of v1 with 0.5 CPU and 512 MiB" in texts
    assert "Send traffic to 1 instance" in texts
    converge(app.pk)
    instance = Instance.objects.get(app=app)
    assert (instance.state, instance.process, instance.release_number) == (
        InstanceState.LIVE,
        "web",
        1,
    )


def test_a_task_that_is_delivered_twice_does_its_work_once(plant):
    app = plant.app()
    row = plant.submit(app)
    with journal.lock(plant.config.locks / f"build-{row.pk}"):
        build(row.pk)
    assert Build.objects.get(pk=row.pk).state == BuildState.QUEUED
    build(row.pk)
    build(row.pk)
    rollout = Rollout.objects.get()
    roll_out(rollout.pk)
    before = Instance.objects.get(app=app).pk
    roll_out(rollout.pk)
    converge(app.pk)
    assert [instance.id for instance in plant.engine.instances()] == [before]


def test_a_failed_candidate_leaves_the_old_release_serving(plant):
    app = plant.app()
    deploy(plant, app)
    failed = deploy(plant, app, "exit")
    assert failed.state == RolloutState.FAILED
    assert "exited at once with code 1" in failed.reason
    assert "cannot find the moon" in failed.reason
    assert plant.get(app).status_code == 200
    app.refresh_from_db()
    assert app.current_release.number == 1
    assert any(step["text"].startswith("Stop the rollout of v2") for step in failed.steps)


def test_a_rollback_is_a_new_release(plant):
    app = plant.app()
    first = plant.get(app)
    assert first.status_code == 404 or "deployed" in first.text
    deploy(plant, app)
    first_text = plant.get(app).text.split()[0]
    deploy(plant, app)
    second_text = plant.get(app).text.split()[0]
    assert first_text != second_text
    app.refresh_from_db()
    rollout = rollback(plant.crew.owner, app=app, number=1)
    roll_out(rollout.pk)
    assert plant.get(app).text.split()[0] == first_text
    app.refresh_from_db()
    assert app.current_release.number == 3


def test_the_release_phase_runs_first_and_its_failure_keeps_the_old_release(plant):
    app = plant.app()
    good = deploy(plant, app, release="echo migrating the $SLIPWAY_APP")
    assert good.state == RolloutState.LIVE
    assert [step["text"] for step in good.steps if "release phase" in step["text"]] == [
        "Run the release phase: echo migrating the $SLIPWAY_APP",
        "The release phase succeeded",
    ]
    assert (
        f"stdout migrating the {app.name}\n"
        in (plant.config.app_logs / f"{app.name}.log").read_text()
    )
    bad = deploy(plant, app, release="echo no such table; exit 3")
    assert bad.state == RolloutState.FAILED
    assert "exited with code 3" in bad.reason
    assert "no such table" in bad.reason
    assert plant.get(app).status_code == 200
    assert not any(step["text"].startswith("Start") for step in bad.steps)


def test_a_newer_rollout_replaces_one_that_still_starts(plant):
    app = plant.app()
    slow = plant.release(app, "silent")
    thread = threading.Thread(target=_in_thread, args=(roll_out, slow.pk))
    thread.start()
    plant.until(plant.engine.instances)
    quick = plant.release(app)
    roll_out(quick.pk)
    thread.join()
    converge(app.pk)
    slow.refresh_from_db()
    quick.refresh_from_db()
    assert (slow.state, quick.state) == (RolloutState.SUPERSEDED, RolloutState.LIVE)
    assert len(plant.engine.instances()) == 1


def test_scaling_and_restarting(plant):
    app = plant.app()
    deploy(plant, app)
    first = {instance.id for instance in plant.engine.instances()}
    scale(
        plant.crew.owner,
        app=app,
        sizes={"web": Size(count=2, cpu=300, memory=64 * 2**20, processes=32, disk=64 * 2**20)},
    )
    converge(app.pk)
    now = plant.engine.instances()
    assert first < {instance.id for instance in now}
    assert {instance.spec.limits.cpu for instance in now} == {300}
    assert Instance.objects.filter(app=app, state=InstanceState.LIVE).count() == 2
    restart(plant.crew.owner, app=app)
    converge(app.pk)
    assert len(plant.engine.instances()) == 2
    assert not {instance.id for instance in plant.engine.instances()} & {
        instance.id for instance in now
    }
    assert Instance.objects.filter(app=app, state=InstanceState.STOPPED).count() == 2


def test_a_crash_is_shown_with_its_reason_and_its_restart(plant):
    app = plant.app()
    deploy(plant, app)
    plant.die(app)
    plant.until(lambda: any(instance.exit for instance in plant.engine.instances()))
    converge(app.pk)
    live = Instance.objects.get(app=app, state=InstanceState.LIVE)
    assert live.restarts == 1
    stopped = Instance.objects.get(app=app, state=InstanceState.STOPPED)
    assert "exited" in stopped.detail
    assert "code 7" in stopped.detail


def test_a_lowered_quota_limits_running_instances_without_a_restart(plant):
    app = plant.app()
    deploy(plant, app)
    before = plant.engine.instances()
    Quota.objects.filter(team=app.team).update(cpu_per_instance=100)
    apply_quota(app.team_id)
    converge(app.pk)
    after = plant.engine.instances()
    assert [instance.pid for instance in after] == [instance.pid for instance in before]
    assert [instance.spec.limits.cpu for instance in after] == [100]
    assert ProcessFormation.objects.get(app=app).cpu == 500


def test_a_deleted_app_leaves_nothing_behind(plant):
    from portal.lifecycle.app_actions import delete_app

    app = plant.app()
    deploy(plant, app)
    digest = plant.engine.images.find(f"{app.name}:v1")
    assert digest is None or digest == plant.builder.digest
    delete_app(plant.crew.owner, app=app, typed_name=app.name)
    remove_app(app.pk)
    assert not App.objects.filter(pk=app.pk).exists()
    assert plant.engine.instances() == []
    assert app.name not in plant.engine.router.routes()
    assert plant.engine.images.find(f"{app.name}:v1") is None
    left = [
        str(path)
        for path in plant.config.state.rglob("*")
        if app.name in path.name and path.parent != plant.config.locks
    ]
    assert left == []


def test_upkeep_queues_again_only_work_that_was_lost(plant, broker):
    waiting, lost, worked_on = (
        plant.submit(plant.app()),
        plant.submit(plant.app()),
        plant.submit(plant.app()),
    )
    for row in (lost, worked_on):
        builds.mark_building(row)
    rollout = plant.release(plant.app())
    broker.flushall()
    upkeep._sent_at.clear()
    with journal.lock(plant.config.locks / f"build-{worked_on.pk}"):
        upkeep.send_lost_tasks_again()
        assert queued(broker, "build") == [("slipway.build", [lost.pk])]
        assert queued(broker, "node") == []
        Build.objects.filter(pk=waiting.pk).update(created_at="2020-01-01T00:00:00Z")
        Rollout.objects.filter(pk=rollout.pk).update(created_at="2020-01-01T00:00:00Z")
        upkeep.send_lost_tasks_again()
        upkeep.send_lost_tasks_again()
    assert queued(broker, "build") == [
        ("slipway.build", [lost.pk]),
        ("slipway.build", [waiting.pk]),
    ]
    assert queued(broker, "node") == [("slipway.roll_out", [rollout.pk])]


def test_upkeep_removes_a_release_phase_whose_worker_was_killed(plant):
    from dataclasses import replace

    from runtime.converge.container_spec import spec_for_release_phase
    from workers.bridge import translate
    from workers.tasks import rollout

    app = plant.app()
    row = plant.release(app).release
    desired, quota = translate.desired_app(app), app.team.quota
    release = translate.desired_release(app, row, quota)
    image = plant.engine.images.image(release.image)
    limits = replace(translate.instance_limits(quota), disk=16 * 2**20)
    spec = spec_for_release_phase(
        desired, release, image, id=f"{app.name}-release-00", command="sleep 60", limits=limits
    )
    plant.engine.containers.launch(spec)
    with journal.lock(rollout.lock_of(app.name, plant.engine)):
        upkeep.send_lost_tasks_again()
        assert len(plant.engine.release_phases.containers_of_all()) == 1
    upkeep.send_lost_tasks_again()
    assert plant.engine.release_phases.containers_of_all() == []


def test_tidying_up_removes_old_instances_and_locks_of_finished_builds(plant):
    app = plant.app()
    old = {
        "app": app,
        "process": "web",
        "release_number": 1,
        "node": "n",
        "state": InstanceState.STOPPED,
    }
    Instance.objects.create(id="old", stopped_at="2020-01-01T00:00:00Z", **old)
    over = plant.submit(app)
    builds.mark_building(over)
    builds.fail(over, "no")
    waiting = plant.submit(app)
    for row in (over, waiting):
        (plant.config.locks / f"build-{row.pk}").touch()
    upkeep.tidy_up()
    assert not Instance.objects.filter(pk="old").exists()
    assert not (plant.config.locks / f"build-{over.pk}").exists()
    assert (plant.config.locks / f"build-{waiting.pk}").exists()


def _in_thread(task, argument):
    from django.db import connection

    try:
        task(argument)
    finally:
        connection.close()


pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


def test_secrets_in_the_release_phases_output_are_masked(plant):
    app = plant.app()
    ConfigVar.objects.create(app=app, name="TOKEN", encrypted_value=encrypt("very-s3cret-token"))
    failed = deploy(plant, app, release="echo with $TOKEN; exit 3")
    assert failed.state == RolloutState.FAILED
    assert "with ****" in failed.reason
    assert "s3cret" not in (plant.config.app_logs / f"{app.name}.log").read_text()


def test_a_team_with_many_slow_rollouts_does_not_hold_all_threads(plant, broker):
    with ExitStack() as busy:
        for place in range(AT_ONCE_PER_TEAM):
            busy.enter_context(
                journal.lock(plant.config.locks / f"rollouts-{plant.crew.blue.pk}-{place}")
            )
        waiting = plant.release(plant.app())
        roll_out(waiting.pk)
        waiting.refresh_from_db()
        assert waiting.state == RolloutState.PENDING
    broker.delete("node")
    other = deploy(plant, plant.app())
    assert other.state == RolloutState.LIVE
    assert ("slipway.roll_out", [waiting.pk]) in queued(broker, "node")
    roll_out(waiting.pk)
    waiting.refresh_from_db()
    assert waiting.state == RolloutState.LIVE
