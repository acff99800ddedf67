"""The tasks that the portal enqueues, and when."""

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
from portal.apps.models import App
from portal.apps.sizes import Size
from portal.deploys import actions as builds
from portal.lifecycle import app_actions as apps
from portal.queue import Task, enqueue
from portal.quotas.actions import set_quota
from portal.releases import actions as releases
from tests.portal.conftest import People
from tests.portal.shipyard import PROCESSES, roll_out, submit_archive


def queued(broker: redis.Redis) -> list[tuple[str, str, list[int]]]:
    """Return (queue, task, ids) of the waiting tasks, oldest first, and remove them."""
    found = []
    for name in ("build", "node", "upkeep"):
        while text := broker.rpop(name):
            message = json.loads(text)  # type: ignore[arg-type]  # text: decode_responses is on
            args, _, _ = json.loads(base64.b64decode(message["body"]))
            assert message["content-type"] == "application/json"
            found.append((name, message["headers"]["task"], args))
    return found


def test_nothing_is_enqueued_before_the_transaction_commits(
    transactional_db: None, broker: redis.Redis
) -> None:
    with transaction.atomic():
        enqueue(Task.CONVERGE, 1)
        assert queued(broker) == []
    assert queued(broker) == [("node", "slipway.converge", [1])]


def test_nothing_is_enqueued_when_it_rolls_back(
    transactional_db: None, broker: redis.Redis
) -> None:
    with pytest.raises(RuntimeError), transaction.atomic():
        enqueue(Task.CONVERGE, 1)
        raise RuntimeError
    assert queued(broker) == []


def test_each_action_enqueues_its_task(committed_people: People, broker: redis.Redis) -> None:
    people = committed_people
    app = people.app()
    assert queued(broker) == [("node", "slipway.converge", [app.pk])]
    build = submit_archive(people.owner, app)
    assert queued(broker) == [("build", "slipway.build", [build.pk])]
    builds.mark_building(build)
    rollout = builds.succeed(build, "sha256:" + "0" * 64, PROCESSES)
    assert rollout is not None
    assert queued(broker) == [("node", "slipway.roll_out", [rollout.pk])]
    roll_out(rollout)
    apps.scale(people.owner, app=app, sizes={"web": Size(count=2)})
    apps.restart(people.owner, app=app)
    assert queued(broker) == [("node", "slipway.converge", [app.pk])] * 2
    release = apps.set_config_vars(people.owner, app=app, changes={"A": "1"})
    assert release is not None
    assert queued(broker) == [("node", "slipway.roll_out", [release.rollouts.get().pk])]
    back = releases.rollback(people.owner, app=app, number=1)
    assert queued(broker) == [("node", "slipway.roll_out", [back.pk])]
    set_quota(people.admin, team=people.blue, limits={"cpu": 1000})
    assert queued(broker) == [("node", "slipway.apply_quota", [people.blue.pk])]
    apps.delete_app(people.owner, app=app, typed_name="hello")
    assert queued(broker) == [("node", "slipway.remove_app", [app.pk])]


def test_without_a_broker_the_change_is_still_made(
    committed_people: People, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(queue, "client", queue.client_of("redis+socket:///nowhere/redis.sock"))
    began = time.monotonic()
    committed_people.app()
    assert time.monotonic() - began < 3, "a request does not wait for a broker that is away"
    assert App.objects.filter(name="hello").exists()
    assert "waits for the upkeep schedule" in caplog.text


def test_a_change_is_made_even_if_the_broker_refuses_to_write(
    committed_people: People, broker: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    broker.config_set(
        "min-replicas-to-write", 1
    )  # Redis has no replica, and refuses writes as with a full disk
    try:
        committed_people.app()
    finally:
        broker.config_set("min-replicas-to-write", 0)
    assert App.objects.filter(name="hello").exists()
    assert "waits for the upkeep schedule" in caplog.text


def test_the_portal_imports_nothing_of_workers_or_runtime_but_the_contract() -> None:
    """Only the package `workers` is installed as a Django app for its commands, and it is empty."""
    code = (
        "import portal.asgi, portal.urls, sys; print([name for name in sys.modules if"
        " name.startswith(('workers.', 'runtime.')) and not name.startswith('runtime.contract')])"
    )
    done = subprocess.run(
        (sys.executable, "-c", code), capture_output=True, text=True, check=True, env=_environment()
    )
    assert done.stdout.strip() == "[]"


def _environment() -> dict[str, str]:
    return {**os.environ, "DJANGO_SETTINGS_MODULE": "portal.settings"}
