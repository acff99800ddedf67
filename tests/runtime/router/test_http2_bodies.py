"""Tests of an app's limit on bodies with HTTP/2, where a body needs neither a length nor POST."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import h2.events
import pytest

from runtime.contract.error_codes import Code
from runtime.router.policy import Policy, RequestLimits
from tests.runtime.router.conftest import (
    RouterUnderTest,
    end,
    free_port,
    router_of_its_own,
    routes_to,
)
from tests.runtime.router.support.sample_app import SampleApp
from tests.runtime.router.test_http2_websockets import Connection, connected, opening

LIMIT = 1000  # bytes
# so many headers that HAProxy's buffer has no room for a byte of the body
LARGE = [(f"x-part-{number}", "a" * 1875) for number in range(8)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limited:
    """An app with a limit, and its router."""

    router: RouterUnderTest
    app: SampleApp


@pytest.fixture(scope="module")
def limited() -> Iterator[Limited]:
    with router_of_its_own(https_port=free_port()) as under_test:
        routes = routes_to(end(app := under_test.app("web-1")))
        policy = Policy(limits=RequestLimits(body=LIMIT))
        under_test.router.set(replace(routes, policy=policy))
        yield Limited(router=under_test, app=app)


def asked(
    connection: Connection,
    method: str,
    *more: tuple[str, str],
    path: str = "/",
    body: tuple[bytes, ...] = (),
    end_with_headers: bool = False,
) -> dict[bytes, bytes]:
    """Send a request and return the headers of its answer. An empty last part ends the stream."""
    request = [
        (":method", method),
        (":scheme", "https"),
        (":path", path),
        (":authority", "hello.test"),
        *more,
    ]
    connection.protocol.send_headers(1, request, end_stream=end_with_headers)
    connection.stream.sendall(connection.protocol.data_to_send())
    for part in body:
        connection.protocol.send_data(1, part, end_stream=not part)
        connection.stream.sendall(connection.protocol.data_to_send())
    return dict(connection.next(h2.events.ResponseReceived).headers)


@pytest.mark.parametrize("method", ["GET", "DELETE", "OPTIONS", "PROPFIND", "POST"])
@pytest.mark.parametrize("headers", [[], LARGE], ids=["small", "large"])
def test_a_body_without_a_length_is_refused_for_every_method(
    limited: Limited, method: str, headers: list[tuple[str, str]]
):
    hits = limited.app.hits.total()
    with connected(limited.router) as connection:
        answer = asked(connection, method, *headers, body=(b"x" * LIMIT, b"x" * LIMIT, b""))
    assert answer[b"x-slipway-code"] == Code.LENGTH_REQUIRED.encode()
    assert limited.app.hits.total() == hits


@pytest.mark.parametrize("headers", [[], LARGE], ids=["small", "large"])
def test_a_body_that_comes_after_a_pause_is_refused(
    limited: Limited, headers: list[tuple[str, str]]
):
    hits = limited.app.hits.total()
    with connected(limited.router) as connection:
        connection.send(
            [
                (":method", "GET"),
                (":scheme", "https"),
                (":path", "/"),
                (":authority", "hello.test"),
                *headers,
            ]
        )
        time.sleep(0.5)
        connection.send([], b"x" * LIMIT)
        answer = dict(connection.next(h2.events.ResponseReceived).headers)
    assert answer[b"x-slipway-code"] == Code.LENGTH_REQUIRED.encode()
    assert limited.app.hits.total() == hits


@pytest.mark.parametrize("headers", [[], LARGE], ids=["small", "large"])
def test_a_request_without_a_body_passes(limited: Limited, headers: list[tuple[str, str]]):
    with connected(limited.router) as connection:
        assert asked(connection, "GET", *headers, end_with_headers=True)[b":status"] == b"200"


def test_a_stream_that_ends_after_its_headers_passes(limited: Limited):
    with connected(limited.router) as connection:
        assert asked(connection, "DELETE", body=(b"",))[b":status"] == b"200"


def test_a_body_with_a_length_below_the_limit_passes(limited: Limited):
    length = ("content-length", str(LIMIT))
    with connected(limited.router) as connection:
        answer = asked(connection, "DELETE", length, body=(b"x" * LIMIT, b""))
    assert answer[b":status"] == b"200"


def test_a_websocket_opens_in_an_app_with_a_limit(limited: Limited):
    with connected(limited.router) as connection:
        connection.send(opening("/tunnel"))
        assert dict(connection.next(h2.events.ResponseReceived).headers)[b":status"] == b"200"
        connection.send([], b"x" * LIMIT * 2)
        assert connection.next(h2.events.DataReceived).data.startswith(b"web-1:x")
