"""Tests of WebSockets over HTTP/2 (RFC 8441).

Browsers use them on the connection on which they loaded a page.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import h2.config
import h2.connection
import h2.events
import pytest

from tests.runtime.router.conftest import (
    RouterUnderTest,
    end,
    free_port,
    router_of_its_own,
    routes_to,
)

Event = h2.events.Event


@pytest.fixture(scope="module")
def shared() -> Iterator[RouterUnderTest]:
    with router_of_its_own(https_port=free_port()) as under_test:
        under_test.router.set(routes_to(end(under_test.app("web-1"))))
        yield under_test


@dataclass(slots=True)
class Connection:
    """One HTTP/2 connection over TLS."""

    stream: ssl.SSLSocket
    protocol: h2.connection.H2Connection

    def send(self, headers: list[tuple[str, str]], data: bytes = b"") -> None:
        """Send headers on stream 1, then data. The stream stays open."""
        if headers:
            self.protocol.send_headers(1, headers)
        if data:
            self.protocol.send_data(1, data)
        self.stream.sendall(self.protocol.data_to_send())

    def next(self, kind: type[Event]) -> Event:
        while True:
            received = self.stream.recv(65_536)
            assert received, "the router closed the connection"
            for event in self.protocol.receive_data(received):
                if isinstance(event, kind):
                    return event
            self.stream.sendall(self.protocol.data_to_send())


@contextmanager
def connected(running: RouterUnderTest) -> Iterator[Connection]:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    protocol = h2.connection.H2Connection(
        h2.config.H2Configuration(client_side=True, validate_outbound_headers=False)
    )
    with (
        socket.create_connection(("127.0.0.1", running.config.https_port), 5) as raw,
        context.wrap_socket(raw, server_hostname="hello.test") as stream,
    ):
        connection = Connection(stream, protocol)
        protocol.initiate_connection()
        stream.sendall(protocol.data_to_send())
        connection.next(h2.events.RemoteSettingsChanged)
        yield connection


def opening(path: str, *more: tuple[str, str]) -> list[tuple[str, str]]:
    pseudo = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "https"),
        (":path", path),
        (":authority", "hello.test"),
    ]
    return [*pseudo, ("sec-websocket-version", "13"), ("origin", "https://hello.test"), *more]


def test_a_websocket_over_http2_passes_bytes_in_both_directions(shared: RouterUnderTest) -> None:
    with connected(shared) as connection:
        connection.send(opening("/tunnel"))
        answer = connection.next(h2.events.ResponseReceived)
        assert dict(answer.headers)[b":status"] == b"200"
        connection.send([], b"hello")
        assert connection.next(h2.events.DataReceived).data == b"web-1:hello"


def test_headers_of_a_browser_change_nothing(shared: RouterUnderTest) -> None:
    browser = [
        ("sec-websocket-extensions", "permessage-deflate; client_max_window_bits"),
        ("user-agent", "x"),
        ("cookie", "a=b"),
    ]
    with connected(shared) as connection:
        connection.send(opening("/tunnel", *browser, ("x-forwarded-for", "6.6.6.6")))
        assert dict(connection.next(h2.events.ResponseReceived).headers)[b":status"] == b"200"
