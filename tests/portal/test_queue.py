"""What is asked of the workers, and when."""

import base64
import json
import os
import subprocess
import sys
import time

import pytest
import redis
from django.db import transaction

from portal import queue
from portal.apps import actions as apps
from portal.apps.models import App
from portal.apps.sizes import Size
from portal.builds import actions as builds
from portal.queue import Task, enqueue
from portal.quotas.actions import set_quota
from portal.releases import actions as releases
from tests.portal.conftest import Crew
from tests.portal.shipyard import PROCESSES, roll_out, submit_archive


def queued(broker: redis.Redis) -> list[tuple[str, str, list[int]]]:
    """(queue, task, ids) of what waits, oldest first, and take it away."""
    found = []
    for name in ("build", "node", "upkeep"):
        while text := broker.rpop(name):
            message = json.loads(text)  # type: ignore[arg-type]  # text: decode_responses is on
            args, _, _ = json.loads(base64.b64decode(message["body"]))
            assert message["content-type"] == "application/json"
            found.append((name, message["headers"]["task"], args))
    return found


def test_nothing_is_asked_for_before_the_transaction_commits(transactional_db: None, broker: redis.Redis) -> None:
    with transaction.atomic():
        enqueue(Task.CONVERGE, 1)
        assert queued(broker) == []
    assert queued(broker) == [("node", "slipway.converge", [1])]


def test_nothing_is_asked_for_when_it_rolls_back(transactional_db: None, broker: redis.Redis) -> None:
    with pytest.raises(RuntimeError), transaction.atomic():
        enqueue(Task.CONVERGE, 1)
        raise RuntimeError
    assert queued(broker) == []


def test_each_action_asks_for_its_task(committed_crew: Crew, broker: redis.Redis) -> None:
    crew = committed_crew
    app = crew.app()
    assert queued(broker) == [("node", "slipway.converge", [app.pk])]
    build = submit_archive(crew.owner, app)
    assert queued(broker) == [("build", "slipway.build", [build.pk])]
    builds.mark_building(build)
    rollout = builds.succeed(build, "sha256:" + "0" * 64, PROCESSES)
    assert rollout is not None
    assert queued(broker) == [("node", "slipway.roll_out", [rollout.pk])]
    roll_out(rollout)
    apps.scale(crew.owner, app=app, sizes={"web": Size(count=2)})
    apps.restart(crew.owner, app=app)
    assert queued(broker) == [("node", "slipway.converge", [app.pk])] * 2
    release = apps.set_config_vars(crew.owner, app=app, changes={"A": "1"})
    assert release is not None
    assert queued(broker) == [("node", "slipway.roll_out", [release.rollouts.get().pk])]
    back = releases.rollback(crew.owner, app=app, number=1)
    assert queued(broker) == [("node", "slipway.roll_out", [back.pk])]
    set_quota(crew.admin, team=crew.blue, limits={"cpu": 1000})
    assert queued(broker) == [("node", "slipway.apply_quota", [crew.blue.pk])]
    apps.delete_app(crew.owner, app=app, typed_name="hello")
    assert queued(broker) == [("node", "slipway.remove_app", [app.pk])]


def test_without_a_broker_the_change_is_made_all_the_same(
    committed_crew: Crew, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(queue, "client", queue.client_of("redis+socket:///nowhere/redis.sock"))
    began = time.monotonic()
    committed_crew.app()
    assert time.monotonic() - began < 3, "a request does not wait for a broker that is away"
    assert App.objects.filter(name="hello").exists()
    assert "waits for upkeep" in caplog.text


def test_with_a_broker_that_refuses_to_write_the_change_is_made_all_the_same(
    committed_crew: Crew, broker: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    broker.config_set("min-replicas-to-write", 1)  # it has none, and answers as it does when its disk is full
    try:
        committed_crew.app()
    finally:
        broker.config_set("min-replicas-to-write", 0)
    assert App.objects.filter(name="hello").exists()
    assert "waits for upkeep" in caplog.text


def test_the_portal_runs_nothing_of_workers_or_runtime() -> None:
    """The bare name `workers` is installed for its commands; its package is empty."""
    code = "import portal.asgi, portal.urls, sys; print([name for name in sys.modules if name.startswith(('workers.', 'runtime'))])"
    done = subprocess.run((sys.executable, "-c", code), capture_output=True, text=True, check=True, env=_environment())
    assert done.stdout.strip() == "[]"


def _environment() -> dict[str, str]:
    return {**os.environ, "DJANGO_SETTINGS_MODULE": "portal.settings"}
