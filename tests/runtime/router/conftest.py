"""Fixtures: a real HAProxy for a test, with its own folders and port."""

from __future__ import annotations

import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from html import unescape
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest

from runtime import process
from runtime.config import NodeConfig
from runtime.contract.code_explanations import EXPLAINED
from runtime.contract.error_codes import Code
from runtime.router.router import Router
from runtime.router.routes import AppRoutes, AppSituation, Endpoint
from runtime.router.runtime_api import RouterDown
from tests.runtime.router.support.sample_app import SampleApp

UPGRADE = (
    b"GET /tunnel HTTP/1.1\r\nHost: hello.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class RouterUnderTest:
    """A router, its HAProxy process, and apps behind it. The class acts as the process manager."""

    def __init__(self, config: NodeConfig, apps: ExitStack) -> None:
        self.config = config
        self.router = Router(config)
        self.process: subprocess.Popen[bytes] | None = None
        self.client = apps.enter_context(httpx.Client(timeout=15, trust_env=False))
        self._apps = apps

    def start(self) -> None:
        log = (self.config.state / "haproxy.log").open("ab")
        self.process = process.spawn(self.router.command(), stdout=log, stderr=log)
        log.close()
        # The virtual machine of `make test-vm` is twenty times slower.
        deadline = time.monotonic() + 60
        while not self.answers():
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.02)

    def log(self) -> str:
        return (self.config.state / "haproxy.log").read_text()

    def answers(self) -> bool:
        try:
            return self.listens() and bool(self.router._api.workers())
        except RouterDown:
            return False

    def listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.config.http_port), 1).close()
        except OSError:
            return False
        return True

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
            while self.listens():  # the worker notices that its master has ended
                time.sleep(0.01)

    def app(self, name: str) -> SampleApp:
        return self._apps.enter_context(SampleApp(name))

    def get(
        self, path: str = "/", *, host: str = "hello.test", accept: str = "text/html"
    ) -> httpx.Response:
        return self.client.get(
            self.url(path), headers={"Host": host, "Accept": accept, "Connection": "close"}
        )

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.config.http_port}{path}"


def end(app: SampleApp, *, draining: bool = False) -> Endpoint:
    return Endpoint(instance=app.name, address="127.0.0.1", port=app.port, draining=draining)


def routes_to(
    *ends: Endpoint,
    app: str = "hello",
    host: str = "hello.test",
    situation: AppSituation = AppSituation.SERVING,
) -> AppRoutes:
    return AppRoutes(app=app, hosts=(host,), endpoints=ends, situation=situation)


def wait_for(reached: Callable[[], object], seconds: float = 30) -> None:
    """Wait until the condition is true."""
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def check_page(answer: httpx.Response, code: Code, accept: str) -> None:
    page = EXPLAINED[code]
    assert answer.status_code == page.status, answer.text
    assert answer.headers["x-slipway-code"] == code
    assert answer.headers["cache-control"] == "no-store"
    assert "x-slipway-page" not in answer.headers
    request_id = answer.headers["x-request-id"]
    if accept == "application/json":
        assert answer.headers["content-type"] == "application/json"
        document = answer.json()
        assert re.fullmatch(
            rf"http://portal\.test:\d+/requests/{request_id}", document.pop("details")
        )
        assert re.fullmatch(rf"http://portal\.test:\d+/codes/{code}", document.pop("docs"))
        assert document == {
            "error": page.name,
            "code": code,
            "status": page.status,
            "message": page.title,
            "next_step": page.next_step,
            "request_id": request_id,
        }
    else:
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert page.title in unescape(answer.text)
        assert code in answer.text
        assert request_id in answer.text
        assert answer.text.endswith("</html>")
        links = re.findall(r'\S+="https?://[^"]*"', answer.text)
        assert len(links) == answer.text.count("://") == 2, "a page loads nothing from other hosts"
        assert re.fullmatch(rf'href="http://portal\.test:\d+/codes/{code}"', links[0])
        assert re.fullmatch(rf'href="http://portal\.test:\d+/requests/{request_id}"', links[1])


class Crowd:
    """Many open connections with one request each."""

    def __init__(self, port: int, request: bytes, count: int) -> None:
        self.port, self.request, self.count = port, request, count
        self.sockets: list[socket.socket] = []

    def __enter__(self) -> None:
        for _ in range(self.count):
            self.sockets.append(socket.create_connection(("127.0.0.1", self.port), 10))
            self.sockets[-1].sendall(self.request)

    def __exit__(self, *_: object) -> None:
        for connection in self.sockets:
            connection.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def router_of_its_own(**settings: object) -> Iterator[RouterUnderTest]:
    with ExitStack() as apps:
        folder = Path(apps.enter_context(TemporaryDirectory(prefix="slipway-tests-")))
        # The router's workers are not root, and the portal's socket is in this folder.
        folder.chmod(0o755)
        config = NodeConfig(
            name="trouter",
            state=folder / "state",
            run=folder / "run",
            http_port=free_port(),
            portal_host="portal.test",
            **settings,
        )
        config.run.mkdir()
        under_test = RouterUnderTest(config, apps)
        under_test.router.prepare()
        under_test.start()
        try:
            yield under_test
        finally:
            under_test.kill()


@pytest.fixture
def running() -> Iterator[RouterUnderTest]:
    with router_of_its_own() as under_test:
        yield under_test
