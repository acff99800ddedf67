"""Tests of requests through a real HAProxy to apps on loopback: hosts, headers, pages, streams and
failures.
"""

from __future__ import annotations

import json
import socket
import time

import httpx
import pytest

from runtime.contract.code_explanations import EXPLAINED
from runtime.contract.error_codes import Code
from runtime.router import pages
from runtime.router.routes import AppSituation, Endpoint
from tests.runtime.router.conftest import (
    UPGRADE,
    RouterUnderTest,
    check_page,
    end,
    free_port,
    routes_to,
)


@pytest.mark.parametrize(
    "host", ["hello.test", "HELLO.Test", "hello.test:8080", "hello.test.", "Hello.test.:80"]
)
def test_a_host_is_found_in_every_spelling(running: RouterUnderTest, host: str):
    running.router.set(routes_to(end(running.app("a-1"))))
    assert running.get(host=host).json()["name"] == "a-1"


def test_headers_that_only_the_router_may_set_are_replaced(running: RouterUnderTest):
    running.router.set(routes_to(end(running.app("a-1"))))
    forged = {
        "X-Forwarded-For": "6.6.6.6",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "evil.test",
        "X-Forwarded-Anything": "x",
        "X_Forwarded_For": "6.6.6.6",
        "X-Real-IP": "6.6.6.6",
        "Forwarded": "for=6.6.6.6",
        "X-Request-Id": "mine",
        "X-Kept": "yes",
    }
    answer = httpx.get(running.url("/"), headers={"Host": "hello.test", **forged})
    seen = answer.json()["headers"]
    assert seen.pop("x-request-id") == answer.headers["x-request-id"] != "mine"
    own = {
        name: value
        for name, value in seen.items()
        if "forward" in name or "real" in name or name == "x-kept"
    }
    assert own == {
        "x-forwarded-for": "127.0.0.1",
        "x-forwarded-proto": "http",
        "x-forwarded-host": "hello.test",
        "x-kept": "yes",
    }


def test_two_lengths_or_a_length_with_chunks_are_refused(running: RouterUnderTest):
    app = running.app("a-1")
    running.router.set(routes_to(end(app)))
    for smuggled in (
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Transfer-Encoding: chunked, identity\r\nContent-Length: 5\r\n",
    ):
        with socket.create_connection(("127.0.0.1", running.config.http_port), 5) as raw:
            raw.sendall(b"POST / HTTP/1.1\r\nHost: hello.test\r\n" + smuggled + b"\r\nabcdef")
            assert raw.recv(100).startswith(b"HTTP/1.1 400 ")
    assert app.hits["/"] == 0


SITUATIONS = {
    AppSituation.NOT_DEPLOYED: Code.NOT_DEPLOYED,
    AppSituation.NO_INSTANCE: Code.NO_INSTANCE,
    AppSituation.CRASHED: Code.CRASHED,
}


@pytest.mark.parametrize("accept", ["text/html,*/*", "application/json"])
def test_each_situation_has_its_own_page(running: RouterUnderTest, accept: str):
    for situation, code in SITUATIONS.items():
        running.router.set(routes_to(situation=situation))
        check_page(running.get(accept=accept), code, accept)


@pytest.mark.parametrize("accept", ["text/html,*/*", "application/json"])
def test_the_other_pages(running: RouterUnderTest, accept: str):
    check_page(running.get(host="nobody.test", accept=accept), Code.UNKNOWN_HOST, accept)
    running.router.set(routes_to())
    check_page(running.get(accept=accept), Code.NO_INSTANCE, accept)
    running.router.set(
        routes_to(Endpoint(instance="dead-1", address="127.0.0.1", port=free_port()))
    )
    check_page(running.get(accept=accept), Code.UNREACHABLE, accept)
    running.router.set(routes_to(end(running.app("a-1"))))
    crashed = httpx.post(
        running.url("/crash"), headers={"Host": "hello.test", "Accept": accept}, timeout=10
    )
    check_page(crashed, Code.NO_ANSWER, accept)


@pytest.mark.parametrize("host", ["portal.test", "localhost", "127.0.0.1:8080"])
@pytest.mark.parametrize("accept", ["text/html,*/*", "application/json"])
def test_a_starting_portal_is_reported_and_the_page_reloads(
    running: RouterUnderTest, host: str, accept: str
):
    answer = running.get(host=host, accept=accept)
    check_page(answer, Code.PORTAL_STARTING, accept)
    assert answer.headers["retry-after"] == "3"
    if accept != "application/json":
        assert '<meta http-equiv="refresh" content="3">' in answer.text


def test_the_portal_is_reached_over_its_socket(running: RouterUnderTest):
    with socket.socket(socket.AF_UNIX) as portal:
        portal.bind(str(running.config.portal_socket))
        running.config.portal_socket.chmod(0o666)
        portal.listen()
        portal.settimeout(5)
        with socket.create_connection(("127.0.0.1", running.config.http_port), 5) as browser:
            browser.sendall(b"GET /apps HTTP/1.1\r\nHost: portal.test\r\n\r\n")
            served, _ = portal.accept()
            with served:
                assert served.recv(1000).startswith(b"GET /apps HTTP/1.1\r\n")
                served.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                assert browser.recv(100).startswith(b"HTTP/1.1 200 OK\r\n")


def test_the_portals_answer_gets_no_cookie_and_no_second_cache_header(running: RouterUnderTest):
    answer = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 2\r\n\r\nok"
    with socket.socket(socket.AF_UNIX) as portal:
        portal.bind(str(running.config.portal_socket))
        running.config.portal_socket.chmod(0o666)
        portal.listen()
        portal.settimeout(5)
        with socket.create_connection(("127.0.0.1", running.config.http_port), 5) as browser:
            cookie = b"Cookie: slipway-instance=of-an-app\r\n"
            browser.sendall(b"GET / HTTP/1.1\r\nHost: portal.test\r\n" + cookie + b"\r\n")
            served, _ = portal.accept()
            with served:
                served.recv(1000)
                served.sendall(answer)
                head = browser.recv(1000).lower()
    assert head.count(b"cache-control:") == 1
    assert b"set-cookie:" not in head


def test_a_crashing_post_runs_once_and_a_get_is_retried(running: RouterUnderTest):
    app = running.app("a-1")
    running.router.set(routes_to(end(app), end(running.app("b-1"))))
    crashes = [running.app(f"c-{number}") for number in range(3)]
    running.router.set(routes_to(*[end(crash) for crash in crashes]))
    answer = httpx.post(
        running.url("/crash"), headers={"Host": "hello.test"}, content=b"once", timeout=10
    )
    assert answer.status_code == 502
    assert sum(crash.hits["/crash"] for crash in crashes) == 1
    running.get("/crash")
    assert sum(crash.hits["/crash"] for crash in crashes) > 2


def test_a_dead_endpoint_fails_no_request(running: RouterUnderTest):
    alive = running.app("a-1")
    dead = Endpoint(instance="dead-1", address="127.0.0.1", port=free_port())
    running.router.set(routes_to(dead, end(alive)))
    with httpx.Client(headers={"Host": "hello.test"}, timeout=10) as client:
        answers = [client.post(running.url("/"), content=b"x").status_code for _ in range(20)]
        answers += [client.get(running.url("/")).status_code for _ in range(20)]
    assert set(answers) == {200}


def test_a_large_upload_streams(running: RouterUnderTest):
    app = running.app("a-1")
    running.router.set(routes_to(end(app)))
    seen_on_the_way = []

    def body():
        for _ in range(50):
            seen_on_the_way.append(app.hits["bytes"])
            yield bytes(2**20)

    answer = httpx.post(
        running.url("/upload"),
        headers={"Host": "hello.test", "Content-Length": str(50 * 2**20)},
        content=body(),
        timeout=30,
    )
    assert answer.json()["received"] == 50 * 2**20
    assert max(seen_on_the_way) > 20 * 2**20, (
        "the app received nothing before the upload was complete"
    )


def test_server_sent_events_arrive_immediately(running: RouterUnderTest):
    running.router.set(routes_to(end(running.app("a-1"))))
    with httpx.stream(
        "GET", running.url("/events"), headers={"Host": "hello.test"}, timeout=10
    ) as stream:
        lines = (line for line in stream.iter_lines() if line.startswith("data: "))
        events = [(float(line.removeprefix("data: ")), time.monotonic()) for line in lines]
    print(
        f"delay of an event: {max(arrived - sent for sent, arrived in events) * 1000:.1f} ms at"
        " most"
    )
    assert len(events) == 5
    assert events[0][1] < events[-1][0], "the first event arrived only after the last was sent"


def test_a_websocket_stays_with_the_old_instance_until_that_ends(running: RouterUnderTest):
    old, new = running.app("old-1"), running.app("new-1")
    running.router.set(routes_to(end(old)))
    with socket.create_connection(("127.0.0.1", running.config.http_port), 5) as tunnel:
        tunnel.sendall(UPGRADE)
        assert tunnel.recv(1000).startswith(b"HTTP/1.1 101 ")
        assert running.router.connections("hello", "old-1") == 1
        running.router.set(routes_to(end(new), end(old, draining=True)))
        assert running.get().json()["name"] == "new-1"
        tunnel.sendall(b"still here")
        assert tunnel.recv(1000) == b"old-1:still here"
        assert running.router.connections("hello", "old-1") == 1
        running.router.set(routes_to(end(new)))
        tunnel.settimeout(2)
        assert tunnel.recv(1000) == b""
    assert running.router.reconcile() == []
    assert running.router.connections("hello", "new-1") == 0


def test_pages_fit_in_their_map():
    lines = pages.pages_map("https://portal.test").splitlines()
    entries = dict(line.split(" ", 1) for line in lines)
    assert len(entries) == len(lines)
    for code, what in EXPLAINED.items():
        if what.status:
            document = json.loads(
                "7f".join((entries[f"{code}-json"], entries["mid-json"], entries["tail-json"]))
            )
            assert (document["code"], document["request_id"], document["details"]) == (
                code,
                "7f",
                "https://portal.test/requests/7f",
            )
            assert len(entries[f"{code}-html"]) < 8000, (
                "an answer of the router must fit in its buffer"
            )
