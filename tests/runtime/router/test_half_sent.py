"""Tests with a few addresses that each hold as many connections with half a request as possible.

Other clients are served as before.
"""

from __future__ import annotations

import resource
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from runtime.router.config import connections
from tests.runtime.router.conftest import (
    RouterUnderTest,
    end,
    router_of_its_own,
    routes_to,
    wait_for,
)

ADDRESSES, EACH = 3, 2800
REQUESTS = 300
# Opens connections with half a request from one address, holds them, and reopens the closed ones.
# Prints the number of open connections.
ATTACKER = """
import os, select, socket, sys, time
os.nice(19)  # an attacker has processors of its own
port, source, wanted, half = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4].encode()
poll, held = select.poll(), {}
until = time.monotonic() + float(sys.argv[5])
while time.monotonic() < until:
    while len(held) < wanted and time.monotonic() < until:
        one = socket.socket()
        one.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
        one.bind((source, 0))
        try:
            one.settimeout(1)
            one.connect(("127.0.0.1", port))
            one.sendall(half)
        except OSError:
            one.close()
            break
        held[one.fileno()] = one
        poll.register(one, select.POLLIN | select.POLLHUP | select.POLLERR)
        if len(held) % 50 == 0:
            break
    for number, _ in poll.poll(20):
        poll.unregister(number)
        held.pop(number).close()
    print(len(held), flush=True)
"""
HALVES = {
    "half a header": "GET / HTTP/1.1\r\nHost: hello.t",
    "nothing at all": "",
    "half a body": "POST /upload HTTP/1.1\r\nHost: hello.test\r\nContent-Length: 1000000\r\n\r\nx",
}


@contextmanager
def many_files() -> Iterator[None]:
    """Raise the limit of open files for HAProxy's maximum of connections, and for the clients of
    this test.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2 * connections.MOST + 1000:
        pytest.skip(
            f"HAProxy needs {2 * connections.MOST + 1000} open files, and this machine allows"
            f" {hard}"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def attack(running: RouterUnderTest, half: str, seconds: float) -> Iterator[None]:
    """Start one attacking process for each address."""
    port = running.config.http_port
    words = [
        [str(port), f"127.66.{number}.1", str(EACH), half, str(seconds)]
        for number in range(ADDRESSES)
    ]
    attackers = [
        subprocess.Popen([sys.executable, "-c", ATTACKER, *each], stdout=subprocess.DEVNULL)
        for each in words
    ]
    try:
        yield
    finally:
        for attacker in attackers:
            attacker.kill()
            attacker.wait()


def held(running: RouterUnderTest) -> int:
    """Return the number of connections that HAProxy has open."""
    answer = running.router._api.ask("show info")
    return int(
        next(line for line in answer.splitlines() if line.startswith("CurrConns:")).split()[1]
    )


def times(running: RouterUnderTest) -> list[float]:
    """Return the seconds that each of some requests needed.

    Each request uses a new connection from a separate address. A failed request raises an error.
    """
    taken = []
    for _ in range(REQUESTS):
        begun = time.monotonic()
        with socket.create_connection(
            ("127.0.0.1", running.config.http_port), 20, source_address=("127.0.0.9", 0)
        ) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: hello.test\r\nConnection: close\r\n\r\n")
            assert connection.makefile("rb").readline() == b"HTTP/1.1 200 OK\r\n"
        taken.append(time.monotonic() - begun)
        time.sleep(0.005)
    return taken


def p99(taken: list[float]) -> float:
    return statistics.quantiles(taken, n=100)[98] * 1000


@pytest.mark.slow
@pytest.mark.parametrize("half", HALVES.values(), ids=HALVES)
def test_three_addresses_with_2800_half_requests_each_slow_nobody_down(half: str):
    with many_files(), router_of_its_own() as running:
        running.router.set(routes_to(end(running.app("web-1")), app="hello"), durable=False)
        running.router.set(
            routes_to(end(running.app("web-2")), app="other", host="other.test"), durable=False
        )
        before = times(running)
        with attack(running, half.replace("hello.test", "other.test"), 120):
            wait_for(lambda: held(running) > connections.MOST * 0.7, 60)
            during = times(running)
            most = held(running)
        refused = running.router.refused()
    print(
        f"{ADDRESSES} addresses held {most} of {connections.MOST} connections, {refused} were"
        f" rejected; p50 {statistics.median(before) * 1000:.1f} ->"
        f" {statistics.median(during) * 1000:.1f} ms, p99 {p99(before):.1f} -> {p99(during):.1f} ms"
    )
    assert refused > 0, "the attackers never reached the limit, so the test proves nothing"
    assert most < connections.MOST * 0.8
    assert max(during) < 5, "a client waited for the end of an attacker's connection"


@pytest.mark.slow
def test_many_addresses_can_fill_the_router_and_no_client_is_rejected():
    """Fill the router.

    New clients then wait in the kernel until there is room, however small the free share of an
    address is.
    """
    addresses = connections.MOST // connections.FREE
    with many_files(), router_of_its_own() as running, ExitStack() as opened:
        running.router.set(routes_to(end(running.app("web-1"))))
        for number in range(addresses * connections.FREE):
            source = f"127.77.{number % addresses // 250}.{number % addresses % 250 + 1}"
            connection = opened.enter_context(
                socket.create_connection(
                    ("127.0.0.1", running.config.http_port), 10, source_address=(source, 0)
                )
            )
        wait_for(lambda: held(running) == connections.MOST)
        assert running.router.refused() == 0
        with socket.create_connection(
            ("127.0.0.1", running.config.http_port), 10, source_address=("127.0.0.9", 0)
        ) as late:
            late.sendall(b"GET / HTTP/1.1\r\nHost: hello.test\r\nConnection: close\r\n\r\n")
            connection.close()
            assert late.makefile("rb").readline() == b"HTTP/1.1 200 OK\r\n"
