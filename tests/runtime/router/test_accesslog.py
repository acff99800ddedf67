"""Tests of the access log: every request has exactly one line, whatever its result and whether or
not a collector runs.
"""

from __future__ import annotations

import asyncio
import http.client
import math
import os
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from runtime.contract.error_codes import Code
from runtime.router.access_log.line import AccessLine, parse
from runtime.router.access_log.metrics import Metrics, Tally
from runtime.router.access_log.receiver import AccessLogReceiver
from runtime.router.config.frontend import ANY_INSTANCE, woken
from runtime.router.config.render import ACCESS_FIELDS, instance_of
from tests.runtime.router.conftest import (
    RouterUnderTest,
    end,
    router_of_its_own,
    routes_to,
    wait_for,
)


@pytest.fixture(scope="module")
def shared() -> Iterator[RouterUnderTest]:
    with router_of_its_own() as under_test:
        under_test.router.set(routes_to(end(under_test.app("web-1"))))
        yield under_test


@contextmanager
def collecting(
    running: RouterUnderTest, lines: list[AccessLine], metrics: list[Metrics] | None = None
) -> Iterator[AccessLogReceiver]:
    """Run a collector on its own event loop."""
    loop = asyncio.new_event_loop()

    def deliver(app: str, some: Sequence[AccessLine]) -> None:
        assert all(line.app == app for line in some)
        lines.extend(some)

    collector = AccessLogReceiver(running.config, deliver)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(collector.start(), loop).result(10)
        yield collector
        asyncio.run_coroutine_threadsafe(collector.stop(), loop).result(20)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
        if metrics is not None:
            metrics.append(collector.metrics)


def send(running: RouterUnderTest, text: bytes, *, then_leave: bool = False) -> bytes:
    with socket.create_connection(("127.0.0.1", running.config.http_port), 15) as raw:
        raw.sendall(text)
        return raw.recv(1) if then_leave else raw.makefile("rb").read()


def test_each_end_of_a_request_is_logged_with_its_code(shared: RouterUnderTest):
    lines: list[AccessLine] = []
    head = b" HTTP/1.1\r\nHost: hello.test\r\nConnection: close\r\n\r\n"
    with collecting(shared, lines) as collector:
        assert send(shared, b"GET /fine?token=secret" + head).startswith(b"HTTP/1.1 200 ")
        assert b"H13" in send(shared, b"POST /garbage" + head)
        assert b"H13" in send(shared, b"GET /huge-header" + head)
        assert send(shared, b"GET /half" + head).endswith(b"half of it")
        send(shared, b"GET /events" + head, then_leave=True)
        assert send(
            shared, b"GET / HTTP/1.1\r\nHost: hello.test\r\nBad Header: x\r\n\r\n"
        ).startswith(b"HTTP/1.1 400 ")
        slow = send(shared, b"GET / HTTP/1.1\r\nHost: hel")
        assert slow.startswith(b"HTTP/1.1 408 ")
        wait_for(lambda: len(lines) >= 5 and collector.metrics.apps.get("", Tally()).requests >= 2)
    found = {line.path: line for line in lines}
    assert found["/fine"].code is None
    assert (found["/fine"].status, found["/fine"].instance, found["/fine"].client) == (
        200,
        "web-1",
        "127.0.0.1",
    )
    assert abs(found["/fine"].at - time.time()) < 60
    assert "secret" not in " ".join(line.text() for line in lines)
    codes = {path: line.code for path, line in found.items()}
    assert codes == {
        "/fine": None,
        "/garbage": Code.BAD_ANSWER,
        "/huge-header": Code.BAD_ANSWER,
        "/half": Code.BROKE_OFF,
        "/events": Code.CLIENT_LEFT,
    }
    nobody = collector.metrics.apps[""]
    assert nobody.codes == {Code.BAD_REQUEST: 1, Code.REQUEST_TOO_SLOW: 1}
    assert found["/garbage"].text().startswith("POST /garbage 502 code=H17 bad-answer took=")


def test_no_line_is_lost_or_repeated_when_collectors_restart(shared: RouterUnderTest):
    asked, stop = Counter[str](), threading.Event()

    def ask(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", shared.config.http_port, timeout=15)
        while not stop.is_set():
            path = f"/{number}/{asked.total()}"
            connection.request("GET", path, headers={"Host": "hello.test"})
            connection.getresponse().read()
            asked[path] += 1

    lines: list[AccessLine] = []
    metrics: list[Metrics] = []
    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            with collecting(shared, lines, metrics):
                before = len(lines)
                wait_for(lambda: len(lines) > before + 50)  # noqa: B023 - looked at before the loop goes on
            time.sleep(0.3)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    with collecting(shared, lines, metrics):
        wait_for(lambda: len(lines) >= asked.total())
    seen = Counter(line.path for line in lines)
    assert seen == asked
    assert (
        sum(collected.apps["hello"].requests for collected in metrics if "hello" in collected.apps)
        == asked.total()
    )


def test_without_a_collector_haproxy_loses_no_request_and_uses_no_cpu(shared: RouterUnderTest):
    head = b" HTTP/1.1\r\nHost: hello.test\r\nConnection: close\r\n\r\n"
    for number in range(50):
        assert send(shared, f"GET /unread-{number}".encode() + head).startswith(b"HTTP/1.1 200 ")
    worker = shared.router._api.workers()[0]
    before = processor_time(worker)
    time.sleep(2)
    assert processor_time(worker) - before < 0.5
    lines: list[AccessLine] = []
    with collecting(shared, lines):
        wait_for(
            lambda: {line.path for line in lines} >= {f"/unread-{number}" for number in range(50)}
        )


def test_a_connection_of_another_user_of_the_host_is_refused(
    shared: RouterUnderTest, caplog: pytest.LogCaptureFixture
):
    stranger = (
        "import socket, sys; s = socket.create_connection((sys.argv[1], int(sys.argv[2])));"
        " print(len(s.recv(1)))"
    )
    lines: list[AccessLine] = []
    with collecting(shared, lines):
        words = [
            "setpriv",
            "--reuid=12345",
            "--clear-groups",
            "--",
            "/usr/bin/python3",
            "-c",
            stranger,
            *map(str, shared.config.access_address),
        ]
        assert (
            subprocess.run(words, check=True, capture_output=True, text=True, timeout=20).stdout
            == "0\n"
        )
    assert "the client is not the router" in caplog.text


def test_an_address_in_use_is_reported_and_no_line_is_lost(
    shared: RouterUnderTest, caplog: pytest.LogCaptureFixture
):
    taken = socket.create_server(shared.config.access_address)
    lines: list[AccessLine] = []
    with collecting(shared, lines):
        assert "in use" in caplog.text
        assert f"sport = {shared.config.access_address[1]}" in caplog.text
        taken.close()
        assert send(
            shared, b"GET /told-late HTTP/1.1\r\nHost: hello.test\r\nConnection: close\r\n\r\n"
        ).startswith(b"HTTP/1.1 200 ")
        wait_for(lambda: any(line.path == "/told-late" for line in lines))


def processor_time(pid: int) -> float:
    """Return the CPU seconds that a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_full_disk_does_not_stop_the_counting(
    shared: RouterUnderTest, caplog: pytest.LogCaptureFixture
):
    def full(app: str, lines: Sequence[AccessLine]) -> None:
        raise OSError(28, "No space left on device")

    async def run() -> Metrics:
        collector = AccessLogReceiver(shared.config, full)
        await collector.start()
        deadline = time.monotonic() + 20
        while "hello" not in collector.metrics.apps and time.monotonic() < deadline:
            await asyncio.to_thread(
                send, shared, b"GET /full HTTP/1.1\r\nHost: hello.test\r\nConnection: close\r\n\r\n"
            )
            await asyncio.sleep(0.1)
        await collector.stop()
        return collector.metrics

    assert asyncio.run(run()).apps["hello"].classes["2xx"] >= 1
    assert "Could not store" in caplog.text


def test_open_requests_are_counted_by_app(shared: RouterUnderTest):
    asking = threading.Thread(
        target=send,
        args=(shared, b"GET /wait/2 HTTP/1.1\r\nHost: hello.test\r\nConnection: close\r\n\r\n"),
    )
    asking.start()
    wait_for(lambda: shared.router.in_flight() == {"hello": 1})
    asking.join()
    wait_for(lambda: shared.router.in_flight() == {})


def a_line(**fields: object) -> AccessLine:
    whole = {
        "at": 1.0,
        "app": "hello",
        "status": 200,
        "code": None,
        "instance": "web-1",
        "received": 10,
        "sent": 100,
        "took": 3,
        "queued": 0,
        "client": "127.0.0.1",
        "request_id": "x",
        "method": "GET",
        "path": "/",
    }
    return AccessLine(**{**whole, **fields})


def test_percentiles_are_in_the_right_bucket():
    tally = Tally()
    for took in [*[3] * 90, *[700] * 10]:
        tally.add(a_line(took=took))
    assert 2 <= tally.percentile(0.5) <= 4
    assert 512 <= tally.percentile(0.95) <= 1024
    assert Tally().percentile(0.5) is None
    tally.add(a_line(took=10**9))
    assert tally.percentile(1) <= 2**22


def test_a_release_is_compared_by_the_requests_of_its_instances():
    metrics = Metrics()
    metrics.add(a_line(instance="old-1"))
    metrics.add(a_line(instance="new-1", status=500))
    earlier = metrics.of("hello", ["new-1"]).copy()
    metrics.add(a_line(instance="new-1", status=200, took=9))
    metrics.add(a_line(instance="new-2", status=503, code=Code.NO_ANSWER))
    later = metrics.of("hello", ["new-1", "new-2", "never-was"])
    assert later.classes == {"2xx": 1, "5xx": 2}
    since = later.since(earlier)
    assert (since.requests, since.classes, since.codes, since.sent) == (
        2,
        {"2xx": 1, "5xx": 1},
        {"H13": 1},
        200,
    )
    metrics.forget_instances("hello", ["new-1"])
    assert set(metrics.instances["hello"]) == {"new-1"}
    metrics.forget("hello")
    assert not metrics.apps.keys() | metrics.instances.keys()


@pytest.mark.parametrize("took", [1, 2, 3, 31, 32, 33, 1000, 123_456])
def test_a_percentile_is_precise_enough_to_compare_releases(took: int):
    tally = Tally()
    for _ in range(100):
        tally.add(a_line(took=took))
    assert took * 0.875 <= tally.percentile(0.5) <= took * 1.125 + 1


def test_a_tunnel_is_counted_but_has_no_latency():
    tally = Tally()
    tally.add(a_line(status=101, took=3_600_000))
    assert tally.requests == 1
    assert tally.percentile(0.5) is None


def test_the_histogram_counts_the_requests_below_each_bound():
    tally = Tally()
    for took in (0, 5, 3_600_000):
        tally.add(a_line(took=took))
    histogram = tally.histogram()
    assert dict(histogram)[0.001] == 1
    assert dict(histogram)[0.008] == 2
    assert histogram[-1] == (math.inf, 3)
    assert [bound for bound, _ in histogram] == sorted(bound for bound, _ in histogram)


@pytest.mark.parametrize(
    "line",
    ["", "Proxy web started.", "1 2 3", " ".join(["x"] * len(ACCESS_FIELDS)), "1 a x" + " 1" * 11],
)
def test_a_foreign_line_is_not_parsed(line: str):
    assert parse(line) is None


@pytest.mark.parametrize(
    ("server", "instance"),
    [("web-1", "web-1"), ("web-1:h2", "web-1"), ("<NOSRV>", ""), ("endpoint", "")],
)
def test_only_servers_that_are_instances_are_counted_as_such(server: str, instance: str):
    assert instance_of(server) == instance
    assert f"server {ANY_INSTANCE} " in woken()
