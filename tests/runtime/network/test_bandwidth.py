"""Tests of the bandwidth limit of a link, in both directions, and of its change while the link is
in use. The measured rates are printed.
"""

from __future__ import annotations

from runtime.network.policy import NetworkPolicy
from tests.runtime.network.conftest import OUTSIDE, World, run

TEAM = 7
MEGABIT = 1_000_000
SECONDS = 2


def sends(world: World, netns: object) -> float:
    """Return the rate in megabits per second."""
    return int(world.ask(netns, "blast", OUTSIDE, 7000, SECONDS)) * 8 / MEGABIT / SECONDS


def receives(world: World, netns: object) -> float:
    return int(world.ask(netns, "pull", OUTSIDE, 7001, SECONDS)) * 8 / MEGABIT / SECONDS


def test_a_container_is_limited_to_the_bandwidth_of_its_team(world: World):
    world.peer(world.outside, "sink", 7000)
    world.peer(world.outside, "source", 7001)
    running, neighbour = (
        world.attach("running", team=TEAM),
        world.attach("neighbour", team=TEAM + 1),
    )
    free = sends(world, running.netns), receives(world, running.netns)
    # The container is running.
    world.network.set_policy(TEAM, NetworkPolicy(bandwidth=10 * MEGABIT))
    later = world.attach("later", team=TEAM)
    for inside in (running, later):
        out, back = sends(world, inside.netns), receives(world, inside.netns)
        print(
            f"limit 10 Mbit/s: sends {out:.1f}, receives {back:.1f}; without a limit {free[0]:.0f}"
            f" and {free[1]:.0f}"
        )
        assert 5 < out < 13  # the first second includes the burst and the socket's buffer
        assert 5 < back < 13
    assert sends(world, neighbour.netns) > 50
    world.network.set_policy(TEAM, NetworkPolicy(bandwidth=20 * MEGABIT))
    assert 13 < sends(world, running.netns) < 26
    world.network.set_policy(TEAM, NetworkPolicy())
    assert sends(world, running.netns) > 50
    assert receives(world, running.netns) > 50


def test_answers_to_the_router_are_limited_too(world: World):
    inside = world.attach("one", team=TEAM)
    world.network.set_policy(TEAM, NetworkPolicy(bandwidth=10 * MEGABIT))
    world.peer(inside.netns, "source", 80)
    rate = int(world.ask(None, "pull", inside.address, 80, SECONDS)) * 8 / MEGABIT / SECONDS
    assert 5 < rate < 13


def test_a_limit_survives_its_process_and_ends_with_the_container(world: World):
    world.network.set_policy(TEAM, NetworkPolicy(bandwidth=10 * MEGABIT))
    world.renew()
    inside = world.attach("one", team=TEAM)
    assert "qdisc tbf" in run("tc", "qdisc", "show", "dev", inside.interface)
    assert "qdisc tbf" in run(
        "nsenter", f"--net={inside.netns}", "tc", "qdisc", "show", "dev", "eth0"
    )
    world.network.detach("one")
    assert "qdisc tbf" not in run(
        "tc", "qdisc", "show"
    )  # "tbf" alone may be in the name of an interface
