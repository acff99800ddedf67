"""A request for a sleeping app is held until it is awake: once woken, however many ask, whatever they send. One HAProxy for all."""

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
from runtime.router.route_store import Ledger
from runtime.router.routes import WEB, AppRoutes, AppSituation, Endpoint
from runtime.router.runtime_api import RuntimeApi
from runtime.router.server_diff import live_servers
from runtime.router.wake import WakeService, serving_endpoint
from tests.runtime.router.conftest import UPGRADE, RouterUnderTest, check_page, end, free_port, router_of_its_own, wait_for
from tests.runtime.router.h2_app import H2App

NUMBERS = itertools.count()
LEAVES = 10


class Sleeper:
    """A sleeping app, and a service that takes `seconds` to wake it."""

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
        return httpx.request(method, url, headers={"Host": self.host, "Accept": "text/html"}, timeout=60, trust_env=False, **rest)


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
    one = Sleeper(shared)
    with service(shared, one.wake) as serving:
        one.service = serving
        yield one
    shared.router.remove(one.name)


async def many(sleeper: Sleeper, count: int) -> Counter[bytes]:
    """So many connections with a request each, all at once; their status lines."""

    async def one() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", sleeper.running.config.http_port)
        writer.write(f"GET / HTTP/1.1\r\nHost: {sleeper.host}\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
        return answer.split(b"\r\n", 1)[0]

    return Counter(await asyncio.gather(*(one() for _ in range(count))))


def test_five_hundred_at_once_wake_it_once_and_all_are_served(sleeper: Sleeper):
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
        with socket.create_connection(("127.0.0.1", sleeper.running.config.http_port), 20) as tunnel:
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
        results = [future.result() for future in [pool.submit(kind) for kind in (upload, websocket, http2)]]
    assert results == [len(body), f"{sleeper.app.name}:awake?".encode(), ("HTTP/2", 200)]
    assert sleeper.asked == 1


def test_a_failed_start_is_a_page_with_its_code_and_the_next_request_tries_again(sleeper: Sleeper, caplog: pytest.LogCaptureFixture):
    sleeper.fails = LaunchFailed("It ran out of memory.", hint="Give it more.")
    check_page(sleeper.get(), Code.WAKE_FAILED, "text/html")
    assert "It ran out of memory. Give it more." in caplog.text
    sleeper.fails = ZeroDivisionError("a fault of ours")
    check_page(sleeper.get(), Code.WAKE_FAILED, "text/html")
    sleeper.fails = None
    assert sleeper.get().status_code == 200
    assert sleeper.asked == 3


def test_nobody_is_held_longer_than_the_app_allows(sleeper: Sleeper):
    sleeper.seconds = 600
    sleeper.change(policy=Policy(hold_seconds=1))
    check_page(sleeper.get(), Code.WAKE_FAILED, "text/html")
    sleeper.change(situation=AppSituation.HOLDING)
    check_page(sleeper.get(), Code.HELD_TOO_LONG, "text/html")
    assert sleeper.asked == 1, "it was being woken already"


def test_a_pause_between_two_releases_is_waited_through(sleeper: Sleeper):
    sleeper.change(situation=AppSituation.HOLDING)
    fresh = end(sleeper.app)
    with service_that_waits(sleeper), ThreadPoolExecutor(4) as pool:
        held = [pool.submit(sleeper.get) for _ in range(4)]
        time.sleep(0.5)
        assert not any(one.done() for one in held)
        sleeper.change(endpoints=(fresh,), situation=AppSituation.SERVING)
        assert {one.result().status_code for one in held} == {200}


@contextmanager
def service_that_waits(sleeper: Sleeper) -> Iterator[WakeService]:
    async def wait(app: str, process: str) -> Endpoint:
        return await serving_endpoint(lambda name: sleeper.running.router.routes().get(name), app, process)

    with service(sleeper.running, wait) as serving:
        yield serving


@pytest.mark.parametrize("others", [0, FEW_HOSTS])
@pytest.mark.parametrize("wild", [False, True])
def test_a_request_that_was_held_goes_to_the_slot_like_any_other(sleeper: Sleeper, others: int, *, wild: bool):
    """There it counts as open, so a drain waits for it; the way past the slot is for workers from before a reload."""
    host, more = sleeper.host, tuple(f"other{number}.{sleeper.host}" for number in range(others))
    sleeper.change(hosts=(f"*.{host}" if wild else host, *more))
    sleeper.host = f"any.{host}" if wild else host
    with socket.create_connection(("127.0.0.1", sleeper.running.config.http_port), 30) as tunnel:
        tunnel.sendall(UPGRADE.replace(b"hello.test", sleeper.host.encode()))
        assert tunnel.recv(1000).startswith(b"HTTP/1.1 101 ")
        assert sleeper.running.router.connections(sleeper.name, end(sleeper.app).instance) == 1
    assert sleeper.get().status_code == 200
    assert sleeper.running.router.reconcile() == []


def test_the_last_instance_takes_for_a_moment_more_those_that_have_already_chosen_it(sleeper: Sleeper):
    """Their look at the app's record lies behind them: with no server left they would be refused, and not held."""
    last = end(sleeper.app)
    leaving = replace(last, draining=True)
    sleeper.change(situation=AppSituation.SERVING, endpoints=(last,))
    placed = Ledger(sleeper.running.config).placed(sleeper.name)
    assert placed is not None
    maps = Maps(folder=sleeper.running.config.router / "maps")
    question = f"get map {maps.hosts} {sleeper.host}; show servers state {slot_name(placed.slots[WEB])}"
    api, seen, over = RuntimeApi(sleeper.running.config.router_socket, Path()), Counter(), threading.Event()

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
    assert seen[held, maintained] > 0, "it did leave"
    assert seen[held, not maintained] > 3 * LEAVES, seen
    assert seen[not held, maintained] <= LEAVES, "nor does it leave first"


def test_who_gives_up_does_not_keep_it_from_waking(sleeper: Sleeper):
    sleeper.seconds = 1
    with socket.create_connection(("127.0.0.1", sleeper.running.config.http_port), 5) as raw:
        raw.sendall(f"GET /left HTTP/1.1\r\nHost: {sleeper.host}\r\n\r\n".encode())
        wait_for(lambda: sleeper.asked)
    assert sleeper.get("/stayed").status_code == 200
    assert sleeper.asked == 1


def test_requests_held_while_the_router_reloads_are_served_by_the_old_worker(sleeper: Sleeper):
    sleeper.seconds = 4
    with ThreadPoolExecutor(1) as pool:
        answers = pool.submit(asyncio.run, many(sleeper, 60))
        wait_for(lambda: sleeper.service.held[sleeper.name] == 60)
        sleeper.running.router.reload()
        assert answers.result() == {b"HTTP/1.1 200 OK": 60}
    assert sleeper.asked == 1
    assert sleeper.get().status_code == 200


def test_an_app_of_http2_is_reached_by_the_old_worker_too(sleeper: Sleeper):
    with H2App() as grpc:
        sleeper.app.port = grpc.port
        sleeper.seconds, sleeper.tells_router = 0.1, False
        sleeper.change(policy=Policy(http2=True))
        assert sleeper.get("/x", method="POST", content=b"hello").content == b"hello"
        assert grpc.paths == ["/x"]


def test_nobody_is_woken_by_a_request_that_is_refused(sleeper: Sleeper):
    sleeper.change(policy=Policy(auth=BasicAuth(salt="0123456789abcdef", credentials=())))
    assert sleeper.get().status_code == 401
    sleeper.change(policy=Policy(maintenance=True))
    assert sleeper.get().status_code == 503
    assert sleeper.asked == 0


def test_without_the_service_a_sleeping_app_says_that_it_did_not_wake(shared: RouterUnderTest):
    one = Sleeper(shared)
    one.change(policy=Policy(hold_seconds=1))
    check_page(one.get(), Code.WAKE_FAILED, "text/html")
    one.change(situation=AppSituation.HOLDING)
    check_page(one.get(), Code.HELD_TOO_LONG, "text/html")


def test_who_waits_while_the_service_is_restarted_is_served_by_the_next_one(shared: RouterUnderTest):
    one = Sleeper(shared)
    one.seconds = 600
    with ThreadPoolExecutor(1) as pool:
        with service(shared, one.wake) as serving:
            waiting = pool.submit(one.get)
            wait_for(lambda: serving.held[one.name])
        one.seconds = 0.1
        with service(shared, one.wake):
            assert waiting.result().status_code == 200
    assert one.asked == 2
