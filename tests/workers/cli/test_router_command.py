"""Tests of `manage.py router`: the routes, their repair, and an upgrade under load."""

from __future__ import annotations

import io
import json
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from django.core.management import CommandError, call_command

from runtime.engines.node import NodeEngine
from runtime.router.route_store import RouteStore
from runtime.router.routes import AppSituation, PathRoute
from tests.runtime.router.conftest import (
    UPGRADE,
    RouterUnderTest,
    end,
    router_of_its_own,
    routes_to,
)
from workers import node

RELOADS = 5


@pytest.fixture(scope="module")
def front() -> Iterator[RouterUnderTest]:
    with router_of_its_own() as under_test:
        yield under_test


@pytest.fixture
def router(front: RouterUnderTest) -> Iterator[Callable[..., str]]:
    before = list(node._chosen)
    node.use(NodeEngine(front.config, router=front.router))

    def call(*words: str) -> str:
        out = io.StringIO()
        call_command("router", *words, stdout=out)
        return out.getvalue().rstrip("\n")

    yield call
    node._chosen[:] = before


def test_an_upgrade_by_command_refuses_and_cuts_no_connection(
    front: RouterUnderTest, router: Callable[..., str]
) -> None:
    front.router.set(routes_to(end(front.app("web-1"))))
    seen, stop, workers = Counter[str](), threading.Event(), set[int]()

    def request() -> None:
        while not stop.is_set():
            try:
                seen[str(front.get().status_code)] += 1  # a new connection for each
            except OSError as error:
                seen[type(error).__name__] += 1

    threads = [threading.Thread(target=request) for _ in range(3)]
    with socket.create_connection(("127.0.0.1", front.config.http_port), 5) as tunnel:
        tunnel.sendall(UPGRADE)
        assert tunnel.recv(1000).startswith(b"HTTP/1.1 101 ")
        for thread in threads:
            thread.start()
        try:
            for _ in range(RELOADS):
                assert router("reload").startswith("A new worker takes all new connections")
                workers.add(front.router.workers()[0])
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        tunnel.sendall(b"still here")
        assert tunnel.recv(1000) == b"web-1:still here"
    assert len(workers) == RELOADS
    assert set(seen) == {"200"}


def test_files_that_haproxy_refuses_leave_the_running_worker_alone(
    front: RouterUnderTest, router: Callable[..., str]
) -> None:
    slot, before = RouteStore(front.config).slots / "00000.cfg", front.router.workers()[0]
    good = slot.read_text()
    slot.write_text("backend b00000 from slot\n  nonsense\n")
    with pytest.raises(CommandError, match="nonsense"):
        router("reload")
    assert front.router.workers()[0] == before
    slot.write_text(good)


def test_the_routers_routes_can_be_listed_and_repaired(
    front: RouterUnderTest, router: Callable[..., str]
) -> None:
    front.router.set(routes_to(end(front.app("web-1"))))
    assert [line.split() for line in router("ls").splitlines()[1:]] == [
        ["hello", "serving", "1", "hello.test"]
    ]
    assert json.loads(router("ls", "--json"))[0]["instances"] == ["web-1"]
    path = PathRoute(prefix="/api", process="api", situation=AppSituation.HOLDING)
    front.router.set(replace(routes_to(end(front.app("web-1"))), paths=(path,)))
    assert router("ls").splitlines()[1].endswith("/api to api: holding")
    assert json.loads(router("ls", "--json"))[0]["paths"] == {
        "/api": {"process": "api", "situation": "holding"}
    }
    assert router("check") == "The router has exactly the routes it should have."
    front.router._api.send_commands([f"del map {RouteStore(front.config).maps.hosts} hello.test"])
    assert router("check") == "The router's map host differed in 1 entries."
    assert front.get().status_code == 200


def test_a_reload_without_a_running_router_fails(
    front: RouterUnderTest, router: Callable[..., str]
) -> None:
    front.kill()
    with pytest.raises(SystemExit):
        router("reload")
    front.start()
