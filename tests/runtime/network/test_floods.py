"""Tests of network floods: one container floods, and a container of another team is not affected.

Each limit is tested from inside.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from pyroute2 import NFCTSocket

from runtime.network.floods import FloodLimits
from runtime.network.traffic import Dropped
from tests.runtime.network.conftest import HOST, OUTSIDE, World, end

BAD, GOOD = 7, 8  # teams


@contextmanager
def flood(world: World, netns: object, *words: object) -> Iterator[None]:
    """Run a flooding peer inside the block."""
    started = world.start(netns, *words)
    try:
        time.sleep(0.2)
        yield
        assert started.poll() is None, "the flood ended before the measurement did"
    finally:
        end(started)


def latency(world: World, netns: object, port: int) -> tuple[float, float, int]:
    p50, p99, lost = world.ask(netns, "latency", OUTSIDE, port, 200).split()
    return float(p50), float(p99), int(lost)


def test_dns_queries_of_an_app_are_limited_and_others_are_answered(world: World):
    bad, good = world.attach("bad", team=BAD), world.attach("good", team=GOOD)
    world.peer(world.outside, "echo-udp", 53)
    quiet = latency(world, good.netns, 53)
    with flood(world, bad.netns, "blast-udp", OUTSIDE, 53, 60):
        busy = latency(world, good.netns, 53)
    print(
        f"DNS of a neighbour: p50 {quiet[0]} ms, p99 {quiet[1]} ms; during a flood of queries: p50"
        f" {busy[0]} ms, p99 {busy[1]} ms"
    )
    assert busy[2] == 0, "a neighbour's query was lost"
    dropped = world.network.count().dropped
    assert dropped["bad"].queries > 1000
    assert dropped["good"] == Dropped()


def test_dns_queries_beyond_the_limit_do_not_leave(world: World):
    world.renew(limits=FloodLimits(queries=50, queries_burst=100))
    counting = world.peer(world.outside, "count-udp", 53)
    bad = world.attach("bad", team=BAD)
    sent = int(world.ask(bad.netns, "blast-udp", OUTSIDE, 53, 2))
    came = arrived(counting)
    print(f"of {sent} queries in 2 s, {came} left")
    assert sent > 1000
    assert 100 <= came <= 100 + 50 * 2.5
    assert world.network.count().dropped["bad"].queries >= sent - came - 5


def test_dns_queries_by_tcp_are_limited_too(world: World):
    world.renew(limits=FloodLimits(queries=1, queries_burst=30))
    world.peer(world.outside, "listen", 53)
    bad = world.attach("bad", team=BAD)
    world.start(bad.netns, "opens", OUTSIDE, 53, 100)
    deadline = time.monotonic() + 10
    while world.network.count().dropped["bad"].queries == 0 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert world.network.count().dropped["bad"].queries > 0


def test_the_rate_of_new_connections_is_limited(world: World):
    world.renew(limits=FloodLimits(openings=20, openings_burst=50))
    world.peer(world.outside, "listen", 7000)
    bad, good = world.attach("bad", team=BAD), world.attach("good", team=GOOD)
    began = time.monotonic()
    opened = int(world.ask(bad.netns, "opens", OUTSIDE, 7000, 200))
    most = 50 + 20 * (time.monotonic() - began) + 1
    assert 50 <= opened <= most
    assert world.network.count().dropped["bad"].flows >= 200 - opened
    assert world.ask(good.netns, "connect", OUTSIDE, 7000) == f"open {HOST}"
    world.peer(bad.netns, "listen", 80)
    assert world.ask(None, "connect", bad.address, 80).startswith("open"), (
        "the router can still connect"
    )


def test_the_instances_of_a_team_share_a_limit_of_connections(world: World):
    world.renew(limits=FloodLimits(flows=300, team_flows=400, openings_burst=10_000))
    world.peer(world.outside, "listen", 7000)
    first, second, good = (
        world.attach("first", team=BAD),
        world.attach("second", team=BAD),
        world.attach("good", team=GOOD),
    )
    world.ask(first.netns, "flood", OUTSIDE, 250)
    assert world.ask(second.netns, "connect", OUTSIDE, 7000) == f"open {HOST}"
    world.ask(second.netns, "flood", OUTSIDE, 250)
    assert world.ask(second.netns, "connect", OUTSIDE, 7000) == "refused"
    assert world.ask(good.netns, "connect", OUTSIDE, 7000) == f"open {HOST}"
    build = world.attach("build", team=BAD, build=True)
    assert world.ask(build.netns, "connect", OUTSIDE, 7000) == f"open {HOST}", (
        "builds have their own limit"
    )


def test_a_flood_of_datagrams_is_limited_and_others_are_answered(world: World):
    world.renew(limits=FloodLimits(datagrams=1000, datagrams_burst=1000))
    counting = world.peer(world.outside, "count-udp", 9)
    world.peer(world.outside, "echo-udp", 7)
    bad, good = world.attach("bad", team=BAD), world.attach("good", team=GOOD)
    quiet = latency(world, good.netns, 7)
    with flood(world, bad.netns, "blast-udp", OUTSIDE, 9, 60, 1400):
        began = time.monotonic()
        first = arrived(counting)
        busy = latency(world, good.netns, 7)
        came, took = arrived(counting) - first, time.monotonic() - began
    print(f"datagrams that left: {came / took:.0f} a second")
    print(
        f"round trip of a neighbour: p50 {quiet[0]} ms, p99 {quiet[1]} ms; during the flood p50"
        f" {busy[0]} ms, p99 {busy[1]} ms"
    )
    assert came / took < 1000 * 1.2
    assert busy[2] == 0
    assert world.network.count().dropped["bad"].datagrams > 1000


def test_a_flood_at_a_sibling_or_the_host_adds_no_tracked_connection(world: World):
    bad, good = world.attach("bad", team=BAD), world.attach("good", team=GOOD)
    for address in (good.address, bad.gateway):
        before = tracked(str(bad.address))
        world.ask(bad.netns, "flood", address, 500)
        assert tracked(str(bad.address)) == before


def arrived(counting: object) -> int:
    counting.stdin.write(b"\n")
    counting.stdin.flush()
    return int(counting.stdout.readline())


def tracked(address: str) -> int:
    with NFCTSocket() as table:
        return sum(1 for entry in table.dump() if address in str(entry))
