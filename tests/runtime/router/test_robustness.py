"""Tests with hostile clients, faulty apps and restarts of the router: other clients notice nothing.

Most tests share one HAProxy.
"""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from runtime.errors import RouterRefused
from runtime.router.document import to_document
from runtime.router.route_store import RouteStore
from runtime.router.router import Router
from runtime.router.routes import WEB, AppRoutes, Endpoint
from tests.runtime.router.conftest import (
    RouterUnderTest,
    end,
    free_port,
    router_of_its_own,
    routes_to,
)


@pytest.fixture(scope="module")
def shared() -> Iterator[RouterUnderTest]:
    with router_of_its_own() as under_test:
        yield under_test


def exchange(running: RouterUnderTest, text: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", running.config.http_port), 20) as raw:
        with suppress(OSError):  # the server may answer and close before it has read everything
            raw.sendall(text)
        return raw.makefile("rb").read()


HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: hello.test\r\n\r\n"
REFUSED = {
    "CL.TE": (
        b"POST / HTTP/1.1\r\nHost: hello.test\r\nContent-Length: 6\r\nTransfer-Encoding: chunked,"
        b" identity\r\n\r\n0\r\n\r\n"
    ),
    "two lengths": (
        b"POST / HTTP/1.1\r\nHost: hello.test\r\nContent-Length: 0\r\nContent-Length: 44\r\n\r\n"
    ),
    "lengths in a list": b"POST / HTTP/1.1\r\nHost: hello.test\r\nContent-Length: 0, 44\r\n\r\n",
    "a signed length": b"POST / HTTP/1.1\r\nHost: hello.test\r\nContent-Length: +44\r\n\r\n",
    "TE unknown": (
        b"POST / HTTP/1.1\r\nHost: hello.test\r\nTransfer-Encoding: xchunked\r\nContent-Length:"
        b" 4\r\n\r\n"
    ),
    "TE.TE": (
        b"POST / HTTP/1.1\r\nHost: hello.test\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding:"
        b" x\r\n\r\n0\r\n\r\n"
    ),
    "TE twice": (
        b"POST / HTTP/1.1\r\nHost: hello.test\r\nTransfer-Encoding: chunked,"
        b" chunked\r\n\r\n0\r\n\r\n"
    ),
    "a space before the colon": (
        b"POST / HTTP/1.1\r\nHost: hello.test\r\nTransfer-Encoding : chunked\r\nContent-Length:"
        b" 4\r\n\r\n"
    ),
    "a bad chunk": (
        b"POST / HTTP/1.1\r\nHost: hello.test\r\nTransfer-Encoding: chunked\r\n\r\n-2\r\n\r\n"
    ),
    "two hosts": b"GET / HTTP/1.1\r\nHost: hello.test\r\nHost: other.test\r\n\r\n",
    "100 kB of header": b"GET / HTTP/1.1\r\nHost: hello.test\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
    "300 headers": (
        b"GET / HTTP/1.1\r\nHost: hello.test\r\n"
        + b"".join(b"X-%d: y\r\n" % number for number in range(300))
        + b"\r\n"
    ),
}


@pytest.mark.parametrize("vector", REFUSED)
def test_an_ambiguous_request_is_refused_and_the_rest_is_not_read(
    shared: RouterUnderTest, vector: str
):
    app = shared.app("web-1")
    shared.router.set(routes_to(end(app)))
    answer = exchange(shared, REFUSED[vector] + HIDDEN)
    assert answer.startswith(
        (b"HTTP/1.1 400 ", b"HTTP/1.0 400 ", b"HTTP/1.1 422 ", b"HTTP/1.1 501 ")
    ), answer[:200]
    assert answer.count(b"HTTP/1.") == 1
    assert app.hits["/hidden"] == 0


def test_a_length_with_chunks_is_dropped_so_both_ends_read_the_same(shared: RouterUnderTest):
    """Send a request with Content-Length and chunks.

    The chunks have precedence (RFC 9112, 6.3). Router and app read the text behind them as another
    request.
    """
    app = shared.app("web-1")
    shared.router.set(routes_to(end(app)))
    answer = exchange(
        shared,
        b"POST /te HTTP/1.1\r\nHost: hello.test\r\nContent-Length: 4\r\nTransfer-Encoding:"
        b" chunked\r\nConnection: close\r\n\r\n0\r\n\r\n" + HIDDEN,
    )
    assert answer.count(b"HTTP/1.1 200 ") == 1
    assert b'"content-length"' not in answer
    assert app.hits["/hidden"] == 0


@pytest.mark.parametrize(
    "host",
    [
        b"",
        b"..",
        b"hello.test/",
        b"hello.test\\",
        b"\xff\xfe",
        b"hello.test|b00001",
        b"@portal",
        b"%68ello.test",
        b"a" * 5000,
        b"[::1]",
    ],
)
def test_an_invalid_host_leads_nowhere(shared: RouterUnderTest, host: bytes):
    shared.router.set(routes_to(end(shared.app("web-1"))))
    answer = exchange(shared, b"GET / HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n")
    assert answer.startswith((b"HTTP/1.1 404 ", b"HTTP/1.1 400 ")), answer[:200]


def test_a_long_host_with_long_cookies_is_a_bad_request(shared: RouterUnderTest):
    answer = exchange(
        shared,
        b"GET / HTTP/1.1\r\nHost: "
        + b"a" * 3000
        + b"\r\nCookie: "
        + b"c" * 12_000
        + b"\r\nConnection: close\r\n\r\n",
    )
    assert answer.startswith(b"HTTP/1.1 400 "), answer[:200]


def test_slow_clients_do_not_delay_others(shared: RouterUnderTest):
    shared.router.set(routes_to(end(shared.app("web-1"))))
    with ExitStack() as open_ones:
        for _ in range(300):
            connection = open_ones.enter_context(
                socket.create_connection(("127.0.0.1", shared.config.http_port), 5)
            )
            connection.sendall(b"GET / HTTP/1.1\r\nHost: hello.t")
        assert [shared.get().status_code for _ in range(5)] == [200] * 5
        connection.settimeout(30)
        assert connection.recv(100).startswith(b"HTTP/1.1 408 "), "an endless request is ended"


def test_an_endless_answer_is_streamed_with_constant_memory(shared: RouterUnderTest):
    class Endless(threading.Thread):
        def run(self) -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(10_000)
                connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                try:
                    while True:
                        connection.sendall(b"10000\r\n" + bytes(65_536) + b"\r\n")
                except OSError:
                    self.ended = True

    with socket.create_server(("127.0.0.1", 0)) as listener:
        endless = Endless(daemon=True)
        endless.start()
        shared.router.set(
            routes_to(
                Endpoint(instance="endless-1", address="127.0.0.1", port=listener.getsockname()[1])
            )
        )
        with socket.create_connection(("127.0.0.1", shared.config.http_port), 10) as raw:
            raw.sendall(b"GET / HTTP/1.1\r\nHost: hello.test\r\n\r\n")
            before, taken = memory(shared), 0
            while taken < 100 * 2**20:
                taken += len(raw.recv(2**20))
            assert memory(shared) - before < 20 * 2**20
        endless.join(20)
        assert endless.ended, "the app continues although the client has left"


def memory(running: RouterUnderTest) -> int:
    pid = running.router._api.workers()[0]
    line = next(
        line
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith("VmRSS:")
    )
    return int(line.split()[1]) * 1024


@contextmanager
def black_hole() -> Iterator[Endpoint]:
    """Open a port with a full accept queue. It neither accepts nor refuses connections."""
    with socket.socket() as listener, ExitStack() as waiting:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting_client = waiting.enter_context(socket.socket())
            waiting_client.setblocking(False)
            waiting_client.connect_ex(listener.getsockname())
        yield Endpoint(instance="hole-1", address="127.0.0.1", port=listener.getsockname()[1])


def test_an_endpoint_that_accepts_no_connection_fails_no_request(shared: RouterUnderTest):
    alive = shared.app("web-1")
    with black_hole() as hole:
        shared.router.set(routes_to(hole, end(alive)))
        answers = [shared.get("/slow").status_code for _ in range(3)]
        with socket.create_connection(("127.0.0.1", shared.config.http_port), 30) as raw:
            raw.sendall(
                b"POST / HTTP/1.1\r\nHost: hello.test\r\nContent-Length: 1\r\nConnection:"
                b" close\r\n\r\nx"
            )
            answers.append(int(raw.makefile("rb").read().split()[1]))
    assert answers == [200] * 4


def test_an_endpoint_killed_while_it_serves_fails_no_get(shared: RouterUnderTest):
    port, alive = free_port(), shared.app("web-1")
    victim = subprocess.Popen(
        [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)],
        stdout=-3,
        stderr=-3,
    )
    while shared_status_of(port) != 200:
        time.sleep(0.05)
    shared.router.set(
        routes_to(end(alive), Endpoint(instance="victim-1", address="127.0.0.1", port=port))
    )
    seen, stop = Counter[int](), threading.Event()

    def ask() -> None:
        while not stop.is_set():
            seen[shared_status(shared)] += 1

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    victim.kill()
    victim.wait()
    time.sleep(0.5)
    stop.set()
    for thread in threads:
        thread.join()
    assert set(seen) == {200}


def shared_status_of(port: int) -> int:
    with suppress(OSError):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/")
        return connection.getresponse().status
    return 0


def shared_status(running: RouterUnderTest) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", running.config.http_port, timeout=20)
    try:
        connection.request("GET", "/", headers={"Host": "hello.test"})
        return connection.getresponse().status
    finally:
        connection.close()


def test_an_app_that_closes_idle_connections_at_once_loses_no_request(shared: RouterUnderTest):
    """Test the keep-alive race.

    Without a connection pool, no request uses a connection that is just being closed.
    """
    hits = Counter[str]()

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    def answer(connection: socket.socket) -> None:
        with connection:
            try:
                while head := connection.recv(10_000):
                    # The body may arrive separately.
                    if not head.endswith(b"\r\n\r\nx") and connection.recv(1) != b"x":
                        return
                    connection.settimeout(0.02)
                    hits[head.split(b" ", 1)[0].decode()] += 1
                    connection.sendall(
                        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok"
                    )
            except OSError:
                return  # 20 ms without a request

    with socket.create_server(("127.0.0.1", 0), backlog=200) as listener:
        server = threading.Thread(target=serve, daemon=True)
        server.start()
        shared.router.set(
            routes_to(
                Endpoint(instance="hasty-1", address="127.0.0.1", port=listener.getsockname()[1])
            )
        )
        connection = http.client.HTTPConnection("127.0.0.1", shared.config.http_port, timeout=10)
        answers = Counter[int]()
        for number in range(150):
            connection.request("POST", "/", body=b"x", headers={"Host": "hello.test"})
            got = connection.getresponse()
            got.read()
            answers[got.status] += 1
            time.sleep(0.015 + 0.001 * (number % 10))
        listener.shutdown(socket.SHUT_RDWR)
        server.join(10)
    assert answers == {200: 150}
    assert hits == {"POST": 150}


def test_an_upgrade_refuses_no_connection_and_cuts_no_request(shared: RouterUnderTest):
    shared.router.set(routes_to(end(shared.app("web-1"))))
    seen, stop = Counter[int](), threading.Event()

    def ask() -> None:
        while not stop.is_set():
            # Each uses a new connection, which a closed port would refuse.
            seen[shared_status(shared)] += 1

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    workers = set()
    try:
        for _ in range(5):
            shared.router.reload()
            workers.add(shared.router._api.workers()[0])
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert len(workers) == 5
    assert set(seen) == {200}


def test_an_invalid_configuration_never_replaces_the_running_one(
    shared: RouterUnderTest, tmp_path: Path
):
    shared.router.set(routes_to(end(shared.app("web-1"))))
    ledger = RouteStore(shared.config)
    good, worker = ledger.fixed.read_bytes(), shared.router._api.workers()[0]
    wrong = Router(replace(shared.config, run=tmp_path / "two words"))
    with pytest.raises(
        RouterRefused, match=r"rejects its new configuration: .*unknown keyword 'words/router.sock'"
    ):
        wrong.prepare()
    assert ledger.fixed.read_bytes() == good
    (ledger.slots / "00000.cfg").write_text("backend b00000 from slot\n  nonsense\n")
    with pytest.raises(RouterRefused, match="nonsense"):
        shared.router.reload()
    shared.router.reconcile()
    assert shared.router._api.workers()[0] == worker
    shared.router.reload()
    assert shared.get().status_code == 200


@pytest.mark.slow
def test_a_large_table_is_served_after_a_start_from_files(tmp_path_factory: pytest.TempPathFactory):
    """Load a tenth of the routes that `bench/router.py` loads."""
    with router_of_its_own() as running:
        running.kill()
        app = running.app("web-1")
        for number in range(1000):
            ends = tuple(replace(end(app), instance=f"web-{number}-{copy}") for copy in range(3))
            routes = AppRoutes(app=f"app{number}", hosts=(f"app{number}.test",), endpoints=ends)
            text = json.dumps(to_document(routes, {WEB: number}))
            (running.config.router / "routes" / f"app{number}.json").write_text(text)
        started = time.perf_counter()
        running.router.prepare()
        written = time.perf_counter()
        running.start()
        print(
            f"1000 apps rendered in {written - started:.1f} s, HAProxy up in"
            f" {time.perf_counter() - written:.1f} s"
        )
        assert running.router.reconcile() == []
        assert {running.get(host=f"app{number}.test").status_code for number in (0, 500, 999)} == {
            200
        }
        running.router.set(routes_to(end(app), app="one-more", host="one-more.test"))
        assert running.get(host="one-more.test").status_code == 200
