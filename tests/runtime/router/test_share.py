"""Tests that one client address can hold only a share of all connections, in any state."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest

from runtime.config import NodeConfig
from runtime.router.config import connections, frontend
from runtime.router.map_entries import Maps
from tests.runtime.router.conftest import (
    RouterUnderTest,
    end,
    free_port,
    router_of_its_own,
    routes_to,
    wait_for,
)

SHARE = connections.MOST // 100  # the share of client_share=1
HALF = b"GET / HTTP/1.1\r\nHost: hello.t"
WHOLE = b"GET / HTTP/1.1\r\nHost: hello.test\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def direct() -> Iterator[RouterUnderTest]:
    with router_of_its_own(client_share=1, https_port=free_port()) as running:
        running.router.set(routes_to(end(running.app("web-1"))))
        yield running


@pytest.fixture(scope="module")
def balanced() -> Iterator[RouterUnderTest]:
    with router_of_its_own(client_share=1, proxy_protocol=True) as running:
        running.router.set(routes_to(end(running.app("web-1"))))
        yield running


def opened(
    running: RouterUnderTest, source: str = "127.0.0.1", *, tls: bool = False
) -> socket.socket:
    port = running.config.https_port if tls else running.config.http_port
    return socket.create_connection(("127.0.0.1", port), 5, source_address=(source, 0))


def answer(running: RouterUnderTest, text: bytes, source: str = "127.0.0.1") -> bytes:
    """Return the first line of the answer, or nothing if the connection was rejected."""
    with suppress(ConnectionError), opened(running, source) as connection:
        connection.sendall(text)
        return connection.makefile("rb").readline().strip()
    return b""


@contextmanager
def full(running: RouterUnderTest, said: bytes, *, tls: bool = False) -> Iterator[None]:
    """Open as many connections from one address as it may have."""
    wait_for(lambda: counted(running) == 0)  # those of the previous test are closed
    with ExitStack() as held:
        for _ in range(SHARE):
            held.enter_context(opened(running, tls=tls)).sendall(said)
        wait_for(lambda: counted(running) == SHARE)  # HAProxy's threads have accepted all
        yield


def counted(running: RouterUnderTest) -> int:
    """Return the number of connections that count against any address."""
    return sum(
        int(count)
        for count in re.findall(r"conn_cur=(\d+)", running.router._api.ask("show table by_address"))
    )


def test_an_address_that_fills_its_share_does_not_block_others(direct: RouterUnderTest):
    before = direct.router.refused()
    with full(direct, HALF):
        assert [answer(direct, WHOLE) for _ in range(3)] == [b""] * 3
        assert direct.router.refused() == before + 3
        assert answer(direct, WHOLE, "127.0.0.2") == b"HTTP/1.1 200 OK"
    # Closed connections no longer count.
    wait_for(lambda: answer(direct, WHOLE) == b"HTTP/1.1 200 OK")


@pytest.mark.parametrize("tls", [False, True])
def test_silent_connections_count_too(direct: RouterUnderTest, tls: bool):
    with full(direct, b"", tls=tls):
        assert answer(direct, WHOLE) == b""
        assert answer(direct, WHOLE, "127.0.0.2") == b"HTTP/1.1 200 OK"


@pytest.mark.parametrize(
    ("first", "same", "other"),
    [
        ("TCP4 203.0.113.7 127.0.0.1", "TCP4 203.0.113.7 127.0.0.1", "TCP4 203.0.113.8 127.0.0.1"),
        ("TCP6 2001:db8:0:1::7 ::1", "TCP6 2001:db8:0:1::8 ::1", "TCP6 2001:db8:0:2::7 ::1"),
    ],
)
def test_behind_a_balancer_the_address_is_that_of_the_visitor(
    balanced: RouterUnderTest, first: str, same: str, other: str
):
    before = balanced.router.refused()
    with full(balanced, proxied(first) + HALF):
        assert answer(balanced, proxied(same) + WHOLE) == b""
        assert balanced.router.refused() == before + 1
        assert answer(balanced, proxied(other) + WHOLE) == b"HTTP/1.1 200 OK"


def proxied(addresses: str) -> bytes:
    return f"PROXY {addresses} 1 1\r\n".encode()


def test_the_default_share_is_half_and_it_can_be_all():
    maps = Maps(folder=NodeConfig().router)
    assert "add(sess.all) gt 400000 }" in frontend.frontend(NodeConfig(), maps)
    assert "reject" not in frontend.frontend(NodeConfig(client_share=100), maps)
