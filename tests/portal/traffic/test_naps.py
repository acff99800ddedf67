"""Sleep periods of apps and their savings: recorded once for repeated reports, and summed over a
week."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest
import redis
from django.test import Client
from django.utils import timezone

from portal.apps.models import App, Instance, InstanceState
from portal.traffic import sleep_history
from portal.traffic.models import Nap
from tests.portal.apps.test_apps import live_app
from tests.portal.conftest import People
from tests.portal.test_api import Caller

HOUR = timedelta(hours=1)
GIB = 2**30


@pytest.fixture
def app(people: People, broker: redis.Redis) -> App:
    app = live_app(people, {"web": "run"})
    App.objects.update(created_at=timezone.now() - timedelta(days=30))
    app.refresh_from_db()
    for number in (1, 2):
        Instance.objects.create(
            id=f"i{number}",
            app=app,
            process="web",
            release_number=1,
            node="n",
            state=InstanceState.ASLEEP,
        )
        sample = {
            "cpu_millicores": 0,
            "memory_bytes": GIB,
            "memory_limit": GIB,
            "processes": 1,
            "disk_bytes": 0,
            "at": 0.0,
        }
        broker.set(f"slipway:usage:i{number}", json.dumps(sample))
    return app


def slept(app: App, began: datetime, *, stopped: timedelta | None, ended: timedelta | None) -> None:
    sleep_history.note(app, since=began, stopped=False, now=began)
    if stopped is not None:
        sleep_history.note(app, since=began, stopped=True, now=began + stopped)
    if ended is not None:
        sleep_history.note(app, since=None, stopped=False, now=began + ended)


def test_a_sleep_period_is_recorded_once_with_its_savings(app: App) -> None:
    now = timezone.now()
    began = now - 10 * HOUR
    for _ in range(2):
        slept(app, began, stopped=HOUR, ended=None)
    sleep_history.note(app, since=began, stopped=True, now=now)
    (nap,) = Nap.objects.all()
    assert (nap.instances, nap.memory, nap.stopped_at, nap.ended_at) == (
        2,
        2 * GIB,
        began + HOUR,
        None,
    )
    saved = sleep_history.saved_by(app, now)
    assert saved is not None
    assert (saved.asleep, saved.stopped, saved.instance_time, saved.since) == (
        10 * HOUR,
        9 * HOUR,
        20 * HOUR,
        began,
    )
    assert (saved.share, saved.memory) == (6, round(2 * GIB * 9 / (24 * 7)))
    sleep_history.note(app, since=None, stopped=False, now=now)
    sleep_history.note(app, since=None, stopped=False, now=now + HOUR)
    assert Nap.objects.get().ended_at == now
    sleep_history.note(app, since=now + HOUR, stopped=False, now=now + HOUR)
    assert Nap.objects.count() == 2


def test_only_the_last_week_and_the_time_since_the_apps_creation_count(app: App) -> None:
    now = timezone.now()
    assert sleep_history.saved_by(app, now) is None
    slept(app, now - timedelta(days=20), stopped=HOUR, ended=2 * HOUR)
    assert sleep_history.saved_by(app, now) is None
    slept(app, now - timedelta(days=8), stopped=HOUR, ended=timedelta(days=2))
    saved = sleep_history.saved_by(app, now)
    assert saved is not None
    assert (saved.asleep, saved.stopped, saved.naps) == (timedelta(days=1), timedelta(days=1), 0)
    app.created_at = now - timedelta(days=6, hours=12)
    assert (young := sleep_history.saved_by(app, now)) is not None
    assert (young.asleep, young.share) == (timedelta(hours=12), 8)
    sleep_history.forget_old(now + timedelta(days=15))
    assert Nap.objects.count() == 1


def test_the_page_and_the_api_show_it(people: People, app: App) -> None:
    client = Client()
    client.force_login(people.owner)
    assert "Memory freed" not in client.get("/apps/hello/traffic").content.decode()
    slept(app, timezone.now() - timedelta(days=10), stopped=HOUR, ended=None)
    page = client.get("/apps/hello/traffic").content.decode()
    assert "100 %" in page
    assert "336 h" in page, "two instances for a week"
    assert "2 GiB" in page
    _, body = Caller(people.token(people.owner))("get", "/apps/hello/sleep")
    assert (body["asleep_seconds"], body["stopped_seconds"], body["naps"]) == (
        7 * 86400,
        7 * 86400,
        0,
    )
    assert body["memory_bytes"] == 2 * GIB
    assert body["asleep_since"]
