"""Tests of route changes under load, by many writers, and across restarts and kills.

No request is lost, and the files are correct.
"""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from runtime.errors import RouterRefused
from runtime.router.config.render import slot_config
from runtime.router.map_entries import slot_name
from runtime.router.route_store import SLOTS_AT_FIRST, RouteStore
from runtime.router.router import _REQUEST_SETUP_SECONDS, Router
from runtime.router.routes import AppSituation, Canary, Endpoint
from runtime.router.server_diff import live_servers
from tests.runtime.router.conftest import UPGRADE, RouterUnderTest, end, routes_to


@contextmanager
def load(port: int, host: str = "hello.test"):
    """Send GETs, POSTs, slow requests and new connections continuously.

    Count the answers by status and the failures by name.
    """
    seen: Counter[str] = Counter()
    stop = threading.Event()

    def client(method: str, path: str, *, keep: bool) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        while not stop.is_set():
            try:
                connection.request(
                    method, path, body=b"body" if method == "POST" else None, headers={"Host": host}
                )
                answer = connection.getresponse()
                answer.read()
                seen[str(answer.status)] += 1
            except (OSError, http.client.HTTPException) as failure:
                seen[type(failure).__name__] += 1
                connection.close()
            if not keep:
                connection.close()

    kinds = [
        ("GET", "/", True),
        ("POST", "/", True),
        ("GET", "/slow", True),
        ("POST", "/slow", True),
        ("GET", "/", False),
    ]
    threads = [
        threading.Thread(target=client, args=(method, path), kwargs={"keep": keep})
        for method, path, keep in kinds
    ]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@pytest.mark.slow
def test_two_hundred_switches_under_load_lose_no_request(running: RouterUnderTest):
    apps = [running.app("even"), running.app("odd")]
    running.router.set(routes_to(end(apps[0])))
    times, hits_after_drain = [], 0
    with load(running.config.http_port) as seen:
        for number in range(1, 201):
            old, new = (
                replace(end(apps[(number + side) % 2]), instance=f"r{number - 1 + side}")
                for side in (0, 1)
            )
            old = replace(old, instance=f"r{number - 1}") if number > 1 else end(apps[0])
            old = replace(old, port=apps[(number - 1) % 2].port)
            new = replace(new, port=apps[number % 2].port)
            started = time.perf_counter()
            running.router.set(routes_to(new, replace(old, draining=True)))
            times.append(time.perf_counter() - started)
            deadline = time.monotonic() + 5
            while running.router.connections("hello", old.instance) and time.monotonic() < deadline:
                time.sleep(0.005)
            before = apps[(number - 1) % 2].hits.total()
            running.router.set(routes_to(new))
            hits_after_drain += apps[(number - 1) % 2].hits.total() - before
    times.sort()
    print(
        f"{seen.total()} requests; a switch takes {times[100] * 1000:.1f} ms in the middle,"
        f" {times[-1] * 1000:.1f} ms at most"
    )
    assert set(seen) == {"200"}
    assert seen["200"] > 400
    assert hits_after_drain == 0, "a drained instance got requests"


def test_a_change_is_effective_when_set_returns(running: RouterUnderTest):
    apps = [running.app("even"), running.app("odd")]
    times = []
    for number in range(40):
        started = time.perf_counter()
        running.router.set(routes_to(end(apps[number % 2])))
        times.append(time.perf_counter() - started)
        assert running.get().json()["name"] == apps[number % 2].name
    times.sort()
    print(
        f"a change is effective in {times[20] * 1000:.1f} ms in the middle, {times[-1] * 1000:.1f}"
        " ms at most"
    )
    assert times[20] < 0.2


def test_draining_next_to_a_formerly_empty_slot_does_not_pause(running: RouterUnderTest):
    """Wait for in-flight requests only when a slot loses its last server.

    An app keeps the slot of a canary permanently.
    """
    stays, goes = end(running.app("stays")), end(running.app("goes"))
    tried = routes_to(stays, replace(goes, canary=True))
    running.router.set(replace(tried, canary=Canary(percent=50)))
    times = []
    for _ in range(10):
        running.router.set(routes_to(stays, goes))
        started = time.perf_counter()
        running.router.set(routes_to(stays, replace(goes, draining=True)))
        times.append(time.perf_counter() - started)
    assert min(times) < _REQUEST_SETUP_SECONDS
    started = time.perf_counter()
    running.router.set(
        routes_to(
            replace(stays, draining=True),
            replace(goes, draining=True),
            situation=AppSituation.HOLDING,
        )
    )
    assert time.perf_counter() - started > _REQUEST_SETUP_SECONDS


def test_the_pool_of_slots_grows_under_load_without_loss(running: RouterUnderTest):
    app = running.app("a-1")
    running.router.set(routes_to(end(app)))
    with load(running.config.http_port) as seen:
        for number in range(SLOTS_AT_FIRST + 3):
            running.router.set(routes_to(end(app), app=f"app{number}", host=f"app{number}.test"))
        for number in (0, SLOTS_AT_FIRST - 1, SLOTS_AT_FIRST + 2):
            assert running.get(host=f"app{number}.test").status_code == 200
        time.sleep(0.5)
    assert set(seen) == {"200"}
    assert running.router.reconcile() == []
    assert RouteStore(running.config).pool() == 2 * SLOTS_AT_FIRST


def test_connections_of_an_old_worker_count_as_open(running: RouterUnderTest):
    running.router.set(routes_to(end(running.app("a-1"))))
    with socket.create_connection(("127.0.0.1", running.config.http_port), 5) as tunnel:
        tunnel.sendall(UPGRADE)
        assert tunnel.recv(1000).startswith(b"HTTP/1.1 101 ")
        running.router._api.reload()
        assert len(running.router._api.workers()) == 2
        assert running.router.connections("hello", "a-1") == 1
        tunnel.sendall(b"still here")
        assert tunnel.recv(1000) == b"a-1:still here"
    deadline = time.monotonic() + 5
    while len(running.router._api.workers()) == 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert running.router.connections("hello", "a-1") == 0


def test_the_slot_of_a_removed_app_is_free_again(running: RouterUnderTest):
    app = running.app("a-1")
    for number in range(SLOTS_AT_FIRST + 5):
        running.router.set(routes_to(end(app), app=f"app{number}", host=f"app{number}.test"))
        assert running.get(host=f"app{number}.test").status_code == 200
        running.router.remove(f"app{number}")
        assert running.get(host=f"app{number}.test").status_code == 404
    running.router.remove("never-was")
    assert RouteStore(running.config).pool() == SLOTS_AT_FIRST
    assert running.router.routes() == {}


def test_routes_set_while_haproxy_is_down_are_used_at_its_start(running: RouterUnderTest):
    app = running.app("a-1")
    running.router.set(routes_to(end(app), host="old.test"))
    running.kill()
    running.router.set(routes_to(end(app), host="new.test"))
    assert running.router.connections("hello", "a-1") == 0
    assert running.router.reconcile() == []
    running.start()
    assert running.get(host="new.test").status_code == 200
    assert running.get(host="old.test").status_code == 404


def test_the_workers_do_not_run_as_root(running: RouterUnderTest):
    worker = running.router._api.workers()[0]
    status = Path(f"/proc/{worker}/status").read_text()
    uids = next(line.split()[1:] for line in status.splitlines() if line.startswith("Uid:"))
    assert "0" not in uids


def test_many_concurrent_writers_leave_one_consistent_state(running: RouterUnderTest):
    app = running.app("a-1")

    def write(writer: int) -> None:
        router = Router(running.config)
        for number in range(10):
            name = f"app{writer}-{number % 4}"
            if number % 4 == 3:
                router.remove(f"app{writer}-{(number - 1) % 4}")
            router.set(routes_to(end(app), app=name, host=f"{name}.test"))

    writers = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in writers:
        thread.start()
    for thread in writers:
        thread.join()
    assert running.router.reconcile() == []
    assert all(
        running.get(host=f"{name}.test").status_code == 200 for name in running.router.routes()
    )


def test_changes_made_outside_the_router_are_reverted_and_listed(running: RouterUnderTest):
    app = running.app("a-1")
    running.router.set(routes_to(end(app)))
    running.router._api.send_commands(
        [
            "set server b00000/a-1 state maint",
            f"del map {running.config.router}/maps/host.map hello.test",
        ]
    )
    assert running.get().status_code == 404
    found = running.router.reconcile()
    assert len(found) == 2
    assert running.get().status_code == 200


def test_a_change_also_reverts_changes_made_outside_the_router(running: RouterUnderTest):
    """Change routes after a manual change in HAProxy.

    The difference since the last change is not everything that must be sent.
    """
    first, second, third = (end(running.app(f"a-{number}")) for number in range(3))
    running.router.set(routes_to(first, second))
    maps = f"{running.config.router}/maps/host.map"
    running.router._api.send_commands(
        [
            "set server b00000/a-0 state maint",
            "set server b00000/a-1 state maint",
            "del server b00000/a-1",
            f"del map {maps} hello.test",
        ]
    )
    running.router.set(routes_to(first, second, third))
    assert Counter(running.get().json()["name"] for _ in range(30)).keys() == {"a-0", "a-1", "a-2"}
    assert running.router.reconcile() == []


def test_a_damaged_file_is_replaced_by_the_next_change(running: RouterUnderTest):
    app = running.app("a-1")
    running.router.set(routes_to(end(app)))
    (running.config.router / "routes" / "hello.json").write_text("{")
    assert running.router.routes() == {}
    running.router.set(routes_to(end(app)))
    assert running.get().status_code == 200
    running.router.reconcile()
    assert running.get().status_code == 200


def test_preparing_again_changes_nothing(running: RouterUnderTest):
    running.router.set(routes_to(end(running.app("a-1"))))
    worker = running.router._api.workers()
    running.router.prepare()
    assert running.router._api.workers() == worker
    assert running.get().status_code == 200


@pytest.mark.parametrize(
    "routes",
    [
        routes_to(app="Bad"),
        routes_to(host="two words.test"),
        routes_to(host="a.test\nb.test b"),
        routes_to(host="UPPER.test"),
        routes_to(Endpoint(instance="a; reload", address="127.0.0.1", port=80)),
        routes_to(Endpoint(instance="a", address="localhost", port=80)),
        routes_to(Endpoint(instance="a", address="127.0.0.1", port=0)),
        routes_to(
            Endpoint(instance="a", address="127.0.0.1", port=1),
            Endpoint(instance="a", address="127.0.0.1", port=2),
        ),
    ],
)
def test_an_invalid_name_is_written_to_no_file_and_no_socket(running: RouterUnderTest, routes):
    with pytest.raises(RouterRefused):
        running.router.set(routes)
    assert running.router.routes() == {}


def test_a_host_of_another_app_or_of_the_portal_is_refused(running: RouterUnderTest):
    running.router.set(routes_to())
    with pytest.raises(RouterRefused, match="already leads to hello"):
        running.router.set(routes_to(app="other"))
    with pytest.raises(RouterRefused, match="already leads to the portal"):
        running.router.set(routes_to(app="other", host="portal.test"))


def test_the_file_of_a_slot_is_complete():
    ends = (
        Endpoint(instance="a", address="10.0.0.2", port=8000),
        Endpoint(instance="b", address="10.0.0.3", port=1, draining=True),
    )
    lines = slot_config(42, ends).splitlines()
    assert lines[0] == "backend b00042 from slot"
    assert lines[2].startswith("  server a 10.0.0.2:8000 ")
    assert lines[3].endswith(" disabled")
    assert slot_name(42) == "b00042"


def test_the_state_of_servers_is_parsed():
    answer = (
        "1\n# be_id be_name\n3 b00000 1 a 10.0.0.2 0 5 1 1 0 1 0 0 0 0 0 0 - 8000 - 0 0 - - 0\n\n"
    )
    (server,) = live_servers(answer)["b00000"]
    assert (server.name, server.address, server.port, server.maintenance, server.weight) == (
        "a",
        "10.0.0.2",
        8000,
        True,
        1,
    )
