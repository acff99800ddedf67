"""A few addresses that hold connections with half a request each, as many as they can: everybody else is served as before."""

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
from tests.runtime.router.conftest import RouterUnderTest, end, router_of_its_own, routes_to, wait_for

ADDRESSES, EACH = 3, 2800
REQUESTS = 300
# Opens connections with half a request from one address, holds them, and opens again what was closed. Prints how many are open.
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
    """As many open files as HAProxy needs for all its connections, and this test for as many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2 * connections.MOST + 1000:
        pytest.skip(f"HAProxy needs {2 * connections.MOST + 1000} open files, and this machine allows {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def attack(running: RouterUnderTest, half: str, seconds: float) -> Iterator[None]:
    """From each address a process of its own."""
    port = running.config.http_port
    words = [[str(port), f"127.66.{number}.1", str(EACH), half, str(seconds)] for number in range(ADDRESSES)]
    attackers = [subprocess.Popen([sys.executable, "-c", ATTACKER, *each], stdout=subprocess.DEVNULL) for each in words]
    try:
        yield
    finally:
        for attacker in attackers:
            attacker.kill()
            attacker.wait()


def held(running: RouterUnderTest) -> int:
    """Connections that HAProxy has open."""
    told = running.router._api.ask("show info")
    return int(next(line for line in told.splitlines() if line.startswith("CurrConns:")).split()[1])


def times(running: RouterUnderTest) -> list[float]:
    """Seconds for each of some requests, each with a connection of its own, from an address of its own; one that fails is an error."""
    taken = []
    for _ in range(REQUESTS):
        begun = time.monotonic()
        with socket.create_connection(("127.0.0.1", running.config.http_port), 20, source_address=("127.0.0.9", 0)) as one:
            one.sendall(b"GET / HTTP/1.1\r\nHost: hello.test\r\nConnection: close\r\n\r\n")
            assert one.makefile("rb").readline() == b"HTTP/1.1 200 OK\r\n"
        taken.append(time.monotonic() - begun)
        time.sleep(0.005)
    return taken


def p99(taken: list[float]) -> float:
    return statistics.quantiles(taken, n=100)[98] * 1000


@pytest.mark.slow
@pytest.mark.parametrize("half", HALVES.values(), ids=HALVES)
def test_three_addresses_with_2800_half_sent_requests_each_slow_nobody_down(half: str):
    with many_files(), router_of_its_own() as running:
        running.router.set(routes_to(end(running.app("web-1")), app="hello"), durable=False)
        running.router.set(routes_to(end(running.app("web-2")), app="other", host="other.test"), durable=False)
        before = times(running)
        with attack(running, half.replace("hello.test", "other.test"), 120):
            wait_for(lambda: held(running) > connections.MOST * 0.7, 60)
            during = times(running)
            most = held(running)
        refused = running.router.refused()
    print(
        f"{ADDRESSES} addresses held {most} of {connections.MOST} connections, {refused} were rejected; "
        f"p50 {statistics.median(before) * 1000:.1f} -> {statistics.median(during) * 1000:.1f} ms, "
        f"p99 {p99(before):.1f} -> {p99(during):.1f} ms"
    )
    assert refused > 0, "the attackers never met the bound: nothing was shown"
    assert most < connections.MOST * 0.8
    assert max(during) < 5, "somebody waited for a connection of an attacker to end"


@pytest.mark.slow
def test_many_addresses_with_a_few_connections_each_fill_the_router_and_none_is_rejected():
    """Then who comes waits in the kernel until there is room, however small the rest is that one address may have."""
    addresses = connections.MOST // connections.FREE
    with many_files(), router_of_its_own() as running, ExitStack() as opened:
        running.router.set(routes_to(end(running.app("web-1"))))
        for number in range(addresses * connections.FREE):
            source = f"127.77.{number % addresses // 250}.{number % addresses % 250 + 1}"
            one = opened.enter_context(socket.create_connection(("127.0.0.1", running.config.http_port), 10, source_address=(source, 0)))
        wait_for(lambda: held(running) == connections.MOST)
        assert running.router.refused() == 0
        with socket.create_connection(("127.0.0.1", running.config.http_port), 10, source_address=("127.0.0.9", 0)) as late:
            late.sendall(b"GET / HTTP/1.1\r\nHost: hello.test\r\nConnection: close\r\n\r\n")
            one.close()
            assert late.makefile("rb").readline() == b"HTTP/1.1 200 OK\r\n"
