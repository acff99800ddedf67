"""Tests of rollouts of every strategy under constant requests, and of canaries that are judged.

Worker, supervisor and router are real.
"""

from __future__ import annotations

import base64
import re
import secrets
import socket
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest
from django.conf import settings as django_settings

from portal.apps.models import Instance, InstanceState
from portal.releases.models import Rollout, RolloutState
from portal.traffic.models import TrafficSettings
from runtime.converge.canary_analysis import GroupTraffic, judge
from tests.system.support.load import Load, Tally

pytestmark = pytest.mark.slow

WATCHED = 40  # seconds of a canary step: a bad canary must be removed long before
FROM_EVIDENCE = 5.0  # seconds at most until the canary is judged
ACCESS = re.compile(
    r"(?P<at>\S+) router \S+ GET \S+ (?P<status>\d+|-) .*took=(?P<took>\d+)ms"
    r" .*instance=(?P<instance>\S+)"
)


def over(rollout: Rollout) -> bool:
    rollout.refresh_from_db()
    return rollout.state not in (
        RolloutState.PENDING,
        RolloutState.RELEASING,
        RolloutState.LAUNCHING,
    )


def settings(app, **values):
    TrafficSettings.objects.update_or_create(app=app, defaults={"drain_seconds": 5, **values})


def rolled_out(plant, app, mode="ok", **processes) -> Rollout:
    """Queue a rollout and wait until it has ended."""
    from portal.queue import Task, enqueue

    rollout = plant.release(app, mode, **processes)
    enqueue(Task.ROLL_OUT, rollout.pk)
    plant.until(lambda: over(rollout), seconds=90)
    return rollout


@contextmanager
def websocket(port: int, host: str) -> Iterator[socket.socket]:
    key = base64.b64encode(secrets.token_bytes(16)).decode()
    with socket.create_connection(("127.0.0.1", port), 20) as tunnel:
        tunnel.sendall(
            f"GET /socket HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        assert tunnel.recv(1000).startswith(b"HTTP/1.1 101 ")
        yield tunnel


def failures(*loads: Load) -> list[Tally]:
    return [load.tally for load in loads if load.tally.failed or not load.tally.requests]


def load(plant, app, **options) -> Load:
    return Load(plant.config.http_port, f"{app.name}.{django_settings.BASE_DOMAIN}", **options)


def test_no_strategy_fails_a_request_and_requests_are_counted_and_logged(plant):
    plant.worker()
    plant.supervisor()
    app = plant.app()
    assert rolled_out(plant, app).state == RolloutState.LIVE
    scaled(plant, app, 2)
    with (
        load(plant, app, connections=4) as kept,
        load(plant, app, connections=2, keep_alive=False) as fresh,
    ):
        for way in ("rolling", "blue-green", "canary", "recreate", "rolling"):
            settings(app, way=way, canary_steps=[[50, 2]])
            rollout = rolled_out(plant, app)
            assert rollout.state == RolloutState.LIVE, (way, rollout.reason)
            assert plant.get(app).text.startswith(f"v{rollout.release.build_id} ")
            plant.until(lambda: len(plant.engine.instances()) == 2)
    assert failures(kept, fresh) == []
    sent = kept.tally.requests + fresh.tally.requests

    def logged() -> int:
        """Return the number of logged requests.

        Rotated files count too: the app prints much under load.
        """
        logs = plant.config.app_logs.glob(f"{app.name}.log*")
        return sum(" router " in line for log in logs for line in log.read_text().splitlines())

    plant.until(lambda: logged() > min(sent, 1000) / 2)
    plant.until(lambda: plant.engine.app_files.request_counts(app.name).last_at > 0)


def test_no_strategy_fails_a_request_on_a_path(plant):
    plant.worker()
    plant.supervisor()
    app, api = plant.app(), "python3 /srv/app.py api ok"
    settings(app, paths=[["/api", "api"]])
    assert rolled_out(plant, app, api=api).state == RolloutState.LIVE
    scaled(plant, app, 1, process="api", others=1)
    with (
        load(plant, app, connections=4, path="/api/kept") as kept,
        load(plant, app, connections=2, keep_alive=False) as web,
    ):
        for way in ("rolling", "blue-green", "canary", "recreate"):
            settings(app, way=way, canary_steps=[[50, 2]], paths=[["/api", "api"]])
            rollout = rolled_out(plant, app, api=api)
            assert rollout.state == RolloutState.LIVE, (way, rollout.reason)
            assert plant.get(app, "/api").text.startswith("api ")
            plant.until(lambda: len(plant.engine.instances()) == 2)
    assert failures(kept, web) == []


def test_an_app_closes_its_websockets_itself_when_its_drain_ends(plant):
    plant.worker()
    plant.supervisor()
    app = plant.app()
    settings(app, drain_seconds=1)
    assert rolled_out(plant, app, "polite").state == RolloutState.LIVE
    with websocket(plant.config.http_port, f"{app.name}.{django_settings.BASE_DOMAIN}") as tunnel:
        assert rolled_out(plant, app).state == RolloutState.LIVE
        tunnel.settimeout(30)
        assert tunnel.recv(100) == b"goodbye"
        assert tunnel.recv(100) == b""
    plant.until(lambda: len(plant.engine.instances()) == 1)
    assert plant.engine.router.reconcile() == []


@pytest.mark.parametrize(
    ("before", "bad", "word"),
    [("ok", "flaky", "5xx"), ("calm", "twice", "for half of its requests")],
)
def test_a_worse_canary_is_rolled_back_with_its_evidence(plant, before, bad, word):
    plant.worker()
    plant.supervisor()
    app = plant.app()
    settings(app, way="canary", canary_steps=[[50, WATCHED]])
    good = rolled_out(plant, app, before)
    assert good.state == RolloutState.LIVE
    (old,) = (instance.id for instance in plant.engine.instances())
    with load(plant, app, connections=4):
        rollout = rolled_out(plant, app, bad)
    assert rollout.state == RolloutState.ROLLED_BACK
    known_at = evident_at(plant.config.app_logs / f"{app.name}.log", old)
    assert rollout.finished_at is not None
    assert rollout.finished_at.timestamp() - known_at <= FROM_EVIDENCE
    assert word in rollout.reason
    assert "v1" in rollout.reason
    app.refresh_from_db()
    assert app.current_release_id == good.release_id
    plant.until(
        lambda: (
            Instance.objects.filter(app=app, state=InstanceState.LIVE).count() == 1
            and len(plant.engine.instances()) == 1
        )
    )
    with load(plant, app) as afterwards:
        plant.get(app)
    assert failures(afterwards) == []


def test_old_oom_kills_do_not_excuse_a_canary_that_runs_out_of_memory(plant):
    from portal.queue import Task, enqueue

    plant.worker()
    plant.supervisor()
    app = plant.app()
    settings(app, way="canary", canary_steps=[[1, WATCHED]], preview_token="lookout")
    assert rolled_out(plant, app).state == RolloutState.LIVE
    (old,) = plant.engine.instances()
    plant.get(app, "/glut")
    plant.until(lambda: plant.engine.usage(old.id).oom_kills == 1)
    rollout = plant.release(app, "ok")
    enqueue(Task.ROLL_OUT, rollout.pk)
    preview = {"X-Slipway-Preview": "lookout"}
    plant.until(
        lambda: plant.get(app, **preview).text.startswith(f"v{rollout.release.build_id} "),
        seconds=60,
    )
    plant.get(app, "/glut", **preview)
    plant.until(lambda: over(rollout), seconds=30)
    assert rollout.state == RolloutState.ROLLED_BACK
    assert "ran out of memory: the kernel killed 1 process of it" in rollout.reason


def evident_at(log: Path, old: str) -> float:
    """Return when the logged requests were enough to fail the canary, in Unix seconds.

    The canary is the instance that is not `old`.
    """
    took: dict[bool, list[float]] = {True: [], False: []}
    failed = {True: 0, False: 0}
    for line in sorted(log.read_text().splitlines()):
        found = ACCESS.match(line)
        is_canary = found is not None and found["instance"] != old
        if found is None or not (is_canary or took[True]):
            continue  # both sides are counted from the canary's first request
        took[is_canary].append(int(found["took"]) / 1000)
        failed[is_canary] += found["status"] == "-" or found["status"] >= "500"
        if judge(
            *(traffic(took[side], failed[side]) for side in (True, False)),
            name="it",
            other="the rest",
        ):
            return datetime.fromisoformat(found["at"]).timestamp()
    raise AssertionError("no requests in the log fail the canary")


def traffic(took: list[float], failed: int) -> GroupTraffic:
    if len(took) < 2:
        return GroupTraffic(requests=len(took), failed=failed)
    return GroupTraffic(
        requests=len(took),
        failed=failed,
        median=statistics.median(took),
        tail=statistics.quantiles(took, n=20)[-1],
    )


def scaled(plant, app, count: int, *, process: str = "web", others: int = 0) -> None:
    from portal.apps.sizes import Size
    from portal.lifecycle.app_actions import scale

    scale(
        plant.crew.owner,
        app=app,
        sizes={
            process: Size(count=count, cpu=500, memory=96 * 2**20, processes=64, disk=64 * 2**20)
        },
    )
    plant.until(
        lambda: Instance.objects.filter(app=app, state=InstanceState.LIVE).count() == count + others
    )
