"""Tests of the real worker and supervisor as separate processes, and of kills of them."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest

from portal.apps.models import Instance, InstanceState
from portal.metrics.exposition import counts_of
from portal.metrics.node import node_now
from portal.metrics.series import parts_in, points_of
from portal.metrics.time_range import Span
from portal.releases.models import RolloutState
from portal.requests.trace import trace_of
from runtime.containers.container import Status

pytestmark = pytest.mark.slow


def live(rollout):
    rollout.refresh_from_db()
    assert rollout.state != RolloutState.FAILED, rollout.reason
    return rollout.state == RolloutState.LIVE


def running(plant):
    return [instance for instance in plant.engine.instances() if instance.status is Status.RUNNING]


def test_a_rollout_goes_live_through_the_queue_with_output_and_usage(plant, broker):
    plant.worker()
    plant.supervisor()
    app = plant.app()
    rollout = plant.release(app)
    plant.until(lambda: live(rollout))
    answer = plant.get(app)
    assert answer.status_code == 200
    (instance,) = running(plant)
    plant.until(lambda: broker.get(f"slipway:usage:{instance.id}"))
    sample = json.loads(broker.get(f"slipway:usage:{instance.id}"))
    assert sample.keys() == {
        "cpu_millicores",
        "memory_bytes",
        "memory_limit",
        "processes",
        "disk_bytes",
        "at",
    }
    assert 2**20 < sample["memory_bytes"] < sample["memory_limit"] == 512 * 2**20
    log = plant.config.app_logs / f"{app.name}.log"
    plant.until(
        lambda: log.exists() and f"web.{instance.id[-8:]} stdout hello from" in log.read_text()
    )
    assert 0 < broker.ttl(f"slipway:usage:{instance.id}") <= 15
    plant.until(lambda: sum(point.requests for point in points_of(app.name, Span.HOUR)) == 1)
    plant.until(lambda: points_of(app.name, Span.HOUR)[-1].memory > 2**20)
    plant.until(lambda: counts_of([app.name]))
    requests = counts_of([app.name])[app.name].requests
    assert requests is not None
    assert requests.classes["2xx"] == 1
    trace = trace_of(plant.crew.owner, answer.headers["X-Request-Id"])
    assert (trace.status, trace.instance_name, trace.meaning) == ("200", instance.id, None)
    assert trace.rollout == rollout


def test_the_supervisor_and_a_worker_write_the_values_of_charts_and_of_the_admin_page(plant):
    plant.worker()
    plant.supervisor()
    app = plant.app()
    rollout = plant.release(app)
    plant.until(lambda: live(rollout))
    (instance,) = running(plant)
    name = f"web.{instance.id[-8:]}"

    def points():
        return parts_in(app.name, Span.HOUR.until(time.time()))

    plant.until(lambda: any((part := point.part(name)) and part.memory for point in points()))
    part = next(part for point in reversed(points()) if (part := point.part(name)))
    assert part == points()[-1].part("web")
    assert part.cpu_limit == instance.spec.limits.cpu
    assert part.memory_limit == 512 * 2**20
    assert 0 < part.disk < part.disk_limit == instance.spec.limits.disk
    os.kill(instance.pid, signal.SIGKILL)
    plant.until(lambda: sum(point.restarts for point in points_of(app.name, Span.HOUR)) == 1)
    assert sum(point.parts[name].restarts for point in points() if name in point.parts) == 1
    plant.until(lambda: node_now().sample is not None)
    now = node_now()
    assert now.sample.instances == 1
    assert now.sample.memory_used > 2**20
    answers = {part.name: part.answers for part in now.parts}
    assert answers["supervisor"]
    assert answers["worker-node"]


def test_kill_9_of_worker_and_supervisor_restarts_and_loses_nothing(plant):
    worker, supervisor = plant.worker(), plant.supervisor()
    app = plant.app()
    rollout = plant.release(
        app, ticker="i=0; while :; do i=$((i+1)); echo tick $i end; sleep 0.02; done"
    )
    plant.until(lambda: live(rollout))
    before = {instance.id: instance.pid for instance in running(plant)}
    for _ in range(3):
        time.sleep(1.1)
        plant.kill(supervisor)
        supervisor = plant.supervisor()
    plant.kill(worker)
    plant.worker()
    time.sleep(3)
    assert {instance.id: instance.pid for instance in running(plant)} == before
    assert plant.get(app).status_code == 200

    def ticks():
        lines = (plant.config.app_logs / f"{app.name}.log").read_text().splitlines()
        return [int(line.split()[4]) for line in lines if line.split()[3:4] == ["tick"]]

    count = len(ticks())
    plant.until(lambda: len(ticks()) > count + 20)
    seen = ticks()
    assert sorted(set(seen)) == list(range(1, max(seen) + 1))


def test_a_killed_instance_leaves_the_router_at_once_and_is_replaced(plant):
    plant.worker()
    plant.supervisor()
    app = plant.app()
    rollout = plant.release(app)
    plant.until(lambda: live(rollout))
    (victim,) = running(plant)
    plant.until(lambda: Instance.objects.filter(pk=victim.id, state=InstanceState.LIVE).exists())
    os.kill(victim.pid, signal.SIGKILL)
    began = time.monotonic()
    plant.until(
        lambda: all(
            endpoint.instance != victim.id
            for endpoint in plant.engine.router.routes()[app.name].endpoints
        )
    )
    out = time.monotonic() - began
    plant.until(lambda: plant.get(app).status_code == 200)
    assert out < 2
    (fresh,) = running(plant)
    assert fresh.id != victim.id
    plant.until(lambda: Instance.objects.filter(pk=victim.id, state=InstanceState.STOPPED).exists())


def test_a_rollout_whose_worker_is_killed_is_resumed(plant):
    app = plant.app()
    first = plant.release(app)
    worker = plant.worker()
    plant.supervisor()  # removes the old release if the worker ends before that
    plant.until(lambda: live(first))
    for pause in (0.05, 0.3, 0.8):
        rollout = plant.release(app)
        time.sleep(pause)
        plant.kill(worker)
        assert plant.get(app).status_code == 200
        worker = plant.worker()
        plant.until(lambda: live(rollout), seconds=60)  # noqa: B023  # called before the next round
        plant.until(lambda: len(plant.engine.instances()) == 1)


def test_the_supervisor_reconciles_apps_itself_while_redis_is_away(plant, broker):
    worker = plant.worker()
    app = plant.app()
    rollout = plant.release(app)
    plant.until(lambda: live(rollout))
    plant.kill(worker)
    broker.config_set("maxclients", 1)  # Redis refuses all other clients
    try:
        plant.supervisor()
        (victim,) = running(plant)
        os.kill(victim.pid, signal.SIGKILL)
        plant.until(lambda: plant.get(app).status_code == 200 and running(plant)[0].id != victim.id)
        assert "Redis does not answer. This process" in plant.log()
    finally:
        broker.config_set("maxclients", 1000)
