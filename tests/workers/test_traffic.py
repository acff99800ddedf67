"""Rollouts of every strategy under requests that never pause, by the real worker, supervisor and router; and canaries that judge themselves."""

from __future__ import annotations

import base64
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.conf import settings as django_settings

from portal.apps.models import Instance, InstanceState
from portal.releases.models import Rollout, RolloutState
from portal.traffic.models import TrafficSettings
from tests.system.load import Load, Tally

pytestmark = pytest.mark.slow

WATCHED = 40  # seconds that a bad canary could have: it is to be gone long before


def over(rollout: Rollout) -> bool:
    rollout.refresh_from_db()
    return rollout.state not in (RolloutState.PENDING, RolloutState.RELEASING, RolloutState.LAUNCHING)


def settings(app, **values):
    TrafficSettings.objects.update_or_create(app=app, defaults={"drain_seconds": 5, **values})


def rolled_out(plant, app, mode="ok", **processes) -> Rollout:
    """Through the queue, to its end."""
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


def test_no_strategy_fails_a_request_and_all_are_counted_and_told(plant):
    plant.worker()
    plant.supervisor()
    app = plant.app()
    assert rolled_out(plant, app).state == RolloutState.LIVE
    scaled(plant, app, 2)
    with load(plant, app, connections=4) as kept, load(plant, app, connections=2, keep_alive=False) as fresh:
        for way in ("rolling", "blue-green", "canary", "recreate", "rolling"):
            settings(app, way=way, canary_steps=[[50, 2]])
            rollout = rolled_out(plant, app)
            assert rollout.state == RolloutState.LIVE, (way, rollout.reason)
            assert plant.get(app).text.startswith(f"v{rollout.release.build_id} ")
            plant.until(lambda: len(plant.engine.instances()) == 2)
    assert failures(kept, fresh) == []
    sent = kept.tally.requests + fresh.tally.requests
    told = plant.config.app_logs / f"{app.name}.log"
    plant.until(lambda: sum(" router " in line for line in told.read_text().splitlines()) > min(sent, 1000) / 2)
    plant.until(lambda: plant.engine.requests_of(app.name).last_at > 0)


def test_at_the_deadline_of_its_drain_an_app_closes_its_websockets_itself(plant):
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


@pytest.mark.parametrize(("before", "bad", "word"), [("ok", "flaky", "5xx"), ("calm", "twice", "for half of its requests")])
def test_a_worse_canary_is_rolled_back_by_itself_with_its_evidence(plant, before, bad, word):
    plant.worker()
    plant.supervisor()
    app = plant.app()
    settings(app, way="canary", canary_steps=[[50, WATCHED]])
    good = rolled_out(plant, app, before)
    assert good.state == RolloutState.LIVE
    with load(plant, app, connections=4):
        rollout = rolled_out(plant, app, bad)
    assert rollout.state == RolloutState.ROLLED_BACK
    assert word in rollout.reason
    assert "v1" in rollout.reason
    app.refresh_from_db()
    assert app.current_release_id == good.release_id
    plant.until(lambda: Instance.objects.filter(app=app, state=InstanceState.LIVE).count() == 1 and len(plant.engine.instances()) == 1)
    with load(plant, app) as afterwards:
        plant.get(app)
    assert failures(afterwards) == []


def scaled(plant, app, count: int) -> None:
    from portal.apps.actions import scale
    from portal.apps.sizes import Size

    scale(plant.crew.owner, app=app, sizes={"web": Size(count=count, cpu=500, memory=96 * 2**20, processes=64, disk=64 * 2**20)})
    plant.until(lambda: Instance.objects.filter(app=app, state=InstanceState.LIVE).count() == count)
