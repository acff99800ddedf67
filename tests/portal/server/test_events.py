"""Events of apps through Redis, and that nothing else needs Redis."""

import asyncio
import subprocess
import time
from pathlib import Path

import pytest
import redis
from pytest_django import Settings

from portal import events
from portal.apps.access import usage_of
from portal.apps.models import Instance
from portal.events import EventKind, publish, subscribe
from portal.pages.live.stream import moved_within
from tests.portal.conftest import People


async def heard(app_name: str, count: int, *, then: tuple[str, ...]) -> list[str]:
    """Publish when the subscription is active, and return `count` events."""
    kinds = []
    async for kind in subscribe(app_name):
        kinds.append(str(kind))
        if kind == EventKind.RECONNECTED:
            for text in then:
                await asyncio.to_thread(publish, app_name, text)
            await asyncio.to_thread(publish, "another", "build")
        if len(kinds) == count:
            return kinds
    return kinds


def test_a_subscriber_gets_the_events_of_its_app_only(broker: redis.Redis) -> None:
    assert asyncio.run(asyncio.wait_for(heard("hello", 3, then=("build", "rollout")), 10)) == [
        "reconnected",
        "build",
        "rollout",
    ]


@pytest.fixture
def fresh_client() -> None:
    events.client.cache_clear()


def test_an_outage_fails_nothing_and_is_reported_when_redis_is_back(
    tmp_path: Path,
    settings: Settings,
    fresh_client: None,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(events, "RECONNECT_SECONDS", 0.05)
    path = tmp_path / "redis.sock"
    settings.REDIS_CLIENT_URL = f"unix://{path}"
    publish("hello", "build")
    assert "Redis did not answer" in caplog.text
    assert usage_of([Instance(id="web.1")]) == {}

    async def over_an_outage() -> list[str]:
        listener = asyncio.create_task(heard("hello", 1, then=()))
        await asyncio.sleep(0.2)
        server = await asyncio.to_thread(_redis, path)
        try:
            return await asyncio.wait_for(listener, 10)
        finally:
            server.terminate()
            server.wait(10)

    assert asyncio.run(over_an_outage()) == ["reconnected"]
    events.client.cache_clear()


def test_actions_announce_their_changes(committed_people: People) -> None:
    async def make_app() -> list[str]:
        kinds = []
        async for kind in subscribe("hello"):
            kinds.append(str(kind))
            if kind == EventKind.RECONNECTED:
                await asyncio.to_thread(_in_a_thread, committed_people)
            else:
                return kinds
        return kinds

    assert asyncio.run(asyncio.wait_for(make_app(), 10)) == ["reconnected", "app"]


def _in_a_thread(people: People) -> None:
    from django.db import connection

    try:
        people.app()
    finally:
        connection.close()


def _redis(path: Path) -> subprocess.Popen[bytes]:
    command = (
        "redis-server",
        "--port",
        "0",
        "--unixsocket",
        str(path),
        "--save",
        "",
        "--logfile",
        "/dev/null",
    )
    server = subprocess.Popen(command, cwd=path.parent)
    while not path.exists():
        time.sleep(0.02)
    return server


@pytest.mark.parametrize("turns", range(6))
def test_a_client_that_disconnects_at_the_moment_of_an_event_ends_the_stream(turns: int) -> None:
    async def leaves() -> bool:
        moved = asyncio.Event()
        waits = asyncio.create_task(moved_within(moved, 10))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        moved.set()
        # turns of the event loop between the event and the end: one of them is the critical moment
        for _ in range(turns):
            await asyncio.sleep(0)
        was_told = waits.cancel()
        await asyncio.wait([waits])
        return waits.cancelled() == was_told

    assert asyncio.run(leaves())
