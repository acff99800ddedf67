"""Tests of sleeping apps: requests of any kind and number are held until the app is awake, and it
is woken once. Most tests share one HAProxy.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from runtime.contract.error_codes import Code
from runtime.errors import LaunchFailed
from runtime.router.map_entries import FEW_HOSTS, Maps, slot_name
from runtime.router.policy import BasicAuth, Policy
from runtime.router.route_store import RouteStore
from runtime.router.routes import WEB, AppRoutes, AppSituation, Endpoint
from runtime.router.runtime_api import RuntimeApi
from runtime.router.server_diff import live_servers
from runtime.router.wake import WakeService, serving_endpoint
from tests.runtime.router.conftest import (
    UPGRADE,
    RouterUnderTest,
    check_page,
    end,
    free_port,
    router_of_its_own,
    wait_for,
)
from tests.runtime.router.support.h2_app import H2App

NUMBERS = itertools.count()
LEAVES = 10


class Sleeper:
    """A sleeping app, and a service that needs `seconds` to wake it."""

    def __init__(self, running: RouterUnderTest) -> None:
        self.running, self.name = running, f"sleeper{next(NUMBERS)}"
        self.host = f"{self.name}.test"
        self.app = running.app(f"{self.name}-1")
        self.routes = AppRoutes(app=self.name, hosts=(self.host,), situation=AppSituation.ASLEEP)
        self.asked = 0
        self.seconds = 0.5
        self.tells_router = True
        self.fails: Exception | None = None
        running.router.set(self.routes)

    def change(self, **fields: object) -> None:
        self.routes = replace(self.routes, **fields)
        self.running.router.set(self.routes)

    async def wake(self, app: str, process: str) -> Endpoint:
        self.asked += 1
        assert (app, process) == (self.name, WEB)
        await asyncio.sleep(self.seconds)
        if self.fails:
            raise self.fails
        there = end(self.app)
        if self.tells_router:
            awake = replace(self.routes, endpoints=(there,), situation=AppSituation.SERVING)
            await asyncio.to_thread(self.running.router.set, awake)
        return there

    def get(self, path: str = "/", **rest: object) -> httpx.Response:
        url = self.running.url(path)
        method = rest.pop("method", "GET")
        return httpx.request(
            method,
            url,
            headers={"Host": self.host, "Accept": "text/html"},
            timeout=60,
            trust_env=False,
            **rest,
        )


@contextmanager
def service(running: RouterUnderTest, wake: Callable) -> Iterator[WakeService]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    serving = WakeService(running.config, wake)
    try:
        asyncio.run_coroutine_threadsafe(serving.start(), loop).result(10)
        yield serving
        asyncio.run_coroutine_threadsafe(serving.stop(), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture(scope="module")
def shared() -> Iterator[RouterUnderTest]:
    with router_of_its_own(https_port=free_port()) as under_test:
        yield under_test


@pytest.fixture
def sleeper(shared: RouterUnderTest) -> Iterator[Sleeper]:
    sleeping_app = Sleeper(shared)
    with service(shared, sleeping_app.wake) as serving:
        sleeping_app.service = serving
        yield sleeping_app
    shared.router.remove(sleeping_app.name)


async def many(sleeper: Sleeper, count: int) -> Counter[bytes]:
    """Open this many connections at once, each with a request, and count the status lines."""

    async def request_once() -> bytes:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", sleeper.running.config.http_port
        )
        writer.write(
            f"GET / HTTP/1.1\r\nHost: {sleeper.host}\r\nConnection: close\r\n\r\n".encode()
        )
        answer = await reader.read()
        writer.close()
        return answer.split(b"\r\n", 1)[0]

    return Counter(await asyncio.gather(*(request_once() for _ in range(count))))


def test_five_hundred_requests_at_once_wake_the_app_once(sleeper: Sleeper):
    sleeper.seconds = 2
    with ThreadPoolExecutor(1) as pool:
        answers = pool.submit(asyncio.run, many(sleeper, 500))
        wait_for(lambda: sleeper.service.held[sleeper.name] > 100)
        assert answers.result() == {b"HTTP/1.1 200 OK": 500}
    assert sleeper.asked == 1
    assert not sleeper.service.held


def test_an_upload_a_websocket_and_http2_are_held_and_served(sleeper: Sleeper):
    sleeper.seconds = 1
    body = bytes(20 * 2**20)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    def upload() -> object:
        return sleeper.get("/upload", method="POST", content=body).json()["received"]

    def websocket() -> object:
        with socket.create_connection(
            ("127.0.0.1", sleeper.running.config.http_port), 20
        ) as tunnel:
            tunnel.sendall(UPGRADE.replace(b"hello.test", sleeper.host.encode()))
            assert tunnel.recv(1000).startswith(b"HTTP/1.1 101 ")
            tunnel.sendall(b"awake?")
            return tunnel.recv(1000)

    def http2() -> object:
        with httpx.Client(http2=True, verify=context, trust_env=False, timeout=30) as client:
            url = f"https://127.0.0.1:{sleeper.running.config.https_port}/"
            answer = client.get(url, headers={"Host": sleeper.host})
            return answer.http_version, answer.status_code

    with ThreadPoolExecutor(3) as pool:
        results = [
            future.result() for future in [pool.submit(kind) for kind in (upload, websocket, http2)]
        ]
    assert results == [len(body), f"{sleeper.app.name}:awake?".encode(), ("HTTP/2", 200)]
    assert sleeper.asked == 1


def test_a_failed_start_shows_its_code_and_the_next_request_retries(
    sleeper: Sleeper, caplog: pytest.LogCaptureFixture
):
    sleeper.fails = LaunchFailed("It ran out of memory.", hint="Give it more.")
    check_page(sleeper.get(), Code.WAKE_FAILED, "text/html")
    assert "It ran out of memory. Give it more." in caplog.text
    sleeper.fails = ZeroDivisionError("a fault of the platform")
    check_page(sleeper.get(), Code.WAKE_FAILED, "text/html")
    sleeper.fails = None
    assert sleeper.get().status_code == 200
    assert sleeper.asked == 3


def test_no_request_is_held_longer_than_the_app_allows(sleeper: Sleeper):
    sleeper.seconds = 600
    sleeper.change(policy=Policy(hold_seconds=1))
    check_page(sleeper.get(), Code.WAKE_FAILED, "text/html")
    sleeper.change(situation=AppSituation.HOLDING)
    check_page(sleeper.get(), Code.HELD_TOO_LONG, "text/html")
    assert sleeper.asked == 1, "it was already waking"


def test_requests_wait_during_a_pause_between_two_releases(sleeper: Sleeper):
    sleeper.change(situation=AppSituation.HOLDING)
    fresh = end(sleeper.app)
    with service_that_waits(sleeper), ThreadPoolExecutor(4) as pool:
        held = [pool.submit(sleeper.get) for _ in range(4)]
        time.sleep(0.5)
        assert not any(request.done() for request in held)
        sleeper.change(endpoints=(fresh,), situation=AppSituation.SERVING)
        assert {request.result().status_code for request in held} == {200}


@contextmanager
def service_that_waits(sleeper: Sleeper) -> Iterator[WakeService]:
    async def wait(app: str, process: str) -> Endpoint:
        return await serving_endpoint(
            lambda name: sleeper.running.router.routes().get(name), app, process
        )

    with service(sleeper.running, wait) as serving:
        yield serving


@pytest.mark.parametrize("others", [0, FEW_HOSTS])
@pytest.mark.parametrize("wild", [False, True])
def test_a_held_request_goes_to_the_slot_like_any_other(
    sleeper: Sleeper, others: int, *, wild: bool
):
    """Hold a request.

    In the slot it counts as open, so a drain waits for it. Only workers from before a reload bypass
    the slot.
    """
    host, more = sleeper.host, tuple(f"other{number}.{sleeper.host}" for number in range(others))
    sleeper.change(hosts=(f"*.{host}" if wild else host, *more))
    sleeper.host = f"any.{host}" if wild else host
    with socket.create_connection(("127.0.0.1", sleeper.running.config.http_port), 30) as tunnel:
        tunnel.sendall(UPGRADE.replace(b"hello.test", sleeper.host.encode()))
        assert tunnel.recv(1000).startswith(b"HTTP/1.1 101 ")
        assert sleeper.running.router.connections(sleeper.name, end(sleeper.app).instance) == 1
    assert sleeper.get().status_code == 200
    assert sleeper.running.router.reconcile() == []


def test_the_last_instance_still_serves_requests_that_chose_it(sleeper: Sleeper):
    """Take out the last instance.

    Requests that have already read the app's record would be refused, and not held, if no server
    were left.
    """
    last = end(sleeper.app)
    leaving = replace(last, draining=True)
    sleeper.change(situation=AppSituation.SERVING, endpoints=(last,))
    placed = RouteStore(sleeper.running.config).placed(sleeper.name)
    assert placed is not None
    maps = Maps(folder=sleeper.running.config.router / "maps")
    question = (
        f"get map {maps.hosts} {sleeper.host}; show servers state {slot_name(placed.slots[WEB])}"
    )
    api, seen, over = (
        RuntimeApi(sleeper.running.config.router_socket, Path()),
        Counter(),
        threading.Event(),
    )

    def look() -> None:
        while not over.is_set():
            record, _, servers = api.ask(question).partition("\n")
            ((server,),) = live_servers(servers).values()
            seen["|W|" in record, server.maintenance] += 1

    with ThreadPoolExecutor(1) as pool:
        looking = pool.submit(look)
        for _ in range(LEAVES):
            sleeper.change(situation=AppSituation.HOLDING, endpoints=(leaving,))
            sleeper.change(situation=AppSituation.SERVING, endpoints=(last,))
        over.set()
        looking.result()
    held, maintained = True, True
    assert seen[held, maintained] > 0, "it was removed"
    assert seen[held, not maintained] > 3 * LEAVES, seen
    assert seen[not held, maintained] <= LEAVES, "it is not removed before that"


def test_a_client_that_leaves_does_not_stop_the_wake(sleeper: Sleeper):
    sleeper.seconds = 1
    with socket.create_connection(("127.0.0.1", sleeper.running.config.http_port), 5) as raw:
        raw.sendall(f"GET /left HTTP/1.1\r\nHost: {sleeper.host}\r\n\r\n".encode())
        wait_for(lambda: sleeper.asked)
    assert sleeper.get("/stayed").status_code == 200
    assert sleeper.asked == 1


def test_the_old_worker_serves_requests_held_during_a_reload(sleeper: Sleeper):
    sleeper.seconds = 4
    with ThreadPoolExecutor(1) as pool:
        answers = pool.submit(asyncio.run, many(sleeper, 60))
        wait_for(lambda: sleeper.service.held[sleeper.name] == 60)
        sleeper.running.router.reload()
        assert answers.result() == {b"HTTP/1.1 200 OK": 60}
    assert sleeper.asked == 1
    assert sleeper.get().status_code == 200


def test_the_old_worker_reaches_an_http2_app_too(sleeper: Sleeper):
    with H2App() as grpc:
        sleeper.app.port = grpc.port
        sleeper.seconds, sleeper.tells_router = 0.1, False
        sleeper.change(policy=Policy(http2=True))
        assert sleeper.get("/x", method="POST", content=b"hello").content == b"hello"
        assert grpc.paths == ["/x"]


def test_a_refused_request_does_not_wake_the_app(sleeper: Sleeper):
    sleeper.change(policy=Policy(auth=BasicAuth(salt="0123456789abcdef", credentials=())))
    assert sleeper.get().status_code == 401
    sleeper.change(policy=Policy(maintenance=True))
    assert sleeper.get().status_code == 503
    assert sleeper.asked == 0


def test_without_the_wake_service_a_request_fails_with_its_code(shared: RouterUnderTest):
    sleeping_app = Sleeper(shared)
    sleeping_app.change(policy=Policy(hold_seconds=1))
    check_page(sleeping_app.get(), Code.WAKE_FAILED, "text/html")
    sleeping_app.change(situation=AppSituation.HOLDING)
    check_page(sleeping_app.get(), Code.HELD_TOO_LONG, "text/html")


def test_a_request_held_across_a_restart_of_the_service_is_served(shared: RouterUnderTest):
    sleeping_app = Sleeper(shared)
    sleeping_app.seconds = 600
    with ThreadPoolExecutor(1) as pool:
        with service(shared, sleeping_app.wake) as serving:
            waiting = pool.submit(sleeping_app.get)
            wait_for(lambda: serving.held[sleeping_app.name])
        sleeping_app.seconds = 0.1
        with service(shared, sleeping_app.wake):
            assert waiting.result().status_code == 200
    assert sleeping_app.asked == 2
