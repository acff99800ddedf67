"""Tests of the byte counts of apps' outside traffic, which survive restarts."""

from __future__ import annotations

import calendar

from hypothesis import given
from hypothesis import strategies as st

from runtime.network.leases import Owner
from runtime.network.traffic import MONTHS, Amount, Traffic, TrafficTotals, month_of
from tests.runtime.network.conftest import OUTSIDE, World

TEAM = 7
A_LOT = 400_000  # bytes: a flood of datagrams of 1,000 each


def send(world: World, netns: object) -> None:
    world.ask(netns, "flood", OUTSIDE, 400, 972)  # plus 28 bytes of headers


def sent(world: World, app: str = "app") -> int:
    return world.network.count().apps.get(app, Amount()).sent


def test_egress_is_counted_exactly_and_across_restarts(world: World):
    instance = world.attach("one", team=TEAM, app="app")
    assert sent(world) == 0
    send(world, instance.netns)
    assert sent(world) == A_LOT
    assert sent(world) == A_LOT, "counting again adds nothing"
    send(world, instance.netns)
    world.network.detach("one")  # nothing was counted in between
    assert sent(world) == 2 * A_LOT
    again = world.attach("one", team=TEAM, app="app")
    send(world, again.netns)
    world.renew()  # new rules, whose counters start at 0
    assert sent(world) == 3 * A_LOT
    send(world, again.netns)
    assert sent(world) == 4 * A_LOT
    world.renew()
    assert world.network.count().teams[TEAM].sent == 4 * A_LOT


def test_traffic_from_outside_is_counted(world: World):
    world.peer(world.outside, "source", 7001)
    inside = world.attach("one", team=TEAM, app="app")
    came = int(world.ask(inside.netns, "pull", OUTSIDE, 7001, 1))
    counted = world.network.count().apps["app"]
    # Includes data in flight when the reader stopped.
    assert came <= counted.received < came * 1.2 + 10_000_000
    assert 0 < counted.sent < counted.received


def test_answers_to_the_router_and_refused_packets_are_not_egress(world: World):
    inside = world.attach("one", team=TEAM, app="app")
    world.peer(inside.netns, "source", 80)
    world.ask(None, "pull", inside.address, 80, 0.3)
    world.ask(inside.netns, "flood", inside.gateway, 100)
    world.ask(inside.netns, "flood", "169.254.169.254", 100)
    assert sent(world) == 0


def test_builds_count_for_the_team_and_a_forgotten_app_starts_at_zero(world: World):
    build = world.attach("build", team=TEAM, app="app", build=True)
    send(world, build.netns)
    world.network.detach("build")
    assert world.network.count().teams[TEAM].sent == A_LOT
    world.network.forget("app")
    assert sent(world) == 0
    assert world.network.count().teams[TEAM].sent == A_LOT, "the team's own count remains"


def test_each_month_starts_at_zero(world: World):
    clock = [float(calendar.timegm((2026, 11, 30, 23, 59, 0)))]
    world.renew(clock=lambda: clock[0])
    inside = world.attach("one", team=TEAM, app="app")
    send(world, inside.netns)
    assert world.network.count().teams[TEAM].sent == A_LOT
    clock[0] += 120
    assert world.network.count().teams == {}
    send(world, inside.netns)
    assert world.network.count().teams[TEAM].sent == A_LOT
    assert sent(world) == 2 * A_LOT


@given(st.lists(st.lists(st.integers(0, 1000), max_size=6), max_size=6))
def test_sums_do_not_depend_on_how_often_they_are_updated(lives: list[list[int]]):
    """Update the sums after each step. The counters of a container start at 0 in each life."""
    sums = TrafficTotals()
    for life in lives:
        total = 0
        for more in life:
            total += more
            sums.add(
                "one", Owner(team=1, app="app"), Amount(sent=total, received=2 * total), "2026-11"
            )
        sums.seen.pop("one", None)
    everything = sum(map(sum, lives))
    assert sums.apps.get("app", Amount()) == Amount(sent=everything, received=2 * everything)
    assert sums.months.get("2026-11", {}).get(1, Amount()) == sums.apps.get("app", Amount())


def test_old_months_are_removed():
    sums = TrafficTotals()
    for number in range(MONTHS + 3):
        sums.add(
            f"c{number}",
            Owner(team=1, app="app"),
            Amount(sent=1),
            f"{2024 + number // 12}-{number % 12 + 1:02}",
        )
    assert len(sums.months) == MONTHS
    assert "2024-01" not in sums.months
    assert month_of(0) == "1970-01"


def test_a_damaged_count_starts_again_and_is_logged(world: World, caplog):
    folder = world.config.state / "network"
    with Traffic(folder).changed() as sums:
        sums.add("one", Owner(team=1, app="app"), Amount(sent=1), "2026-11")
    (folder / "traffic.json").write_bytes(b"{")
    assert Traffic(folder).sums() == TrafficTotals()
    assert "traffic.json is damaged" in caplog.text
