"""A link's speed, both ways, and changed while it is in use. Figures are printed."""

from __future__ import annotations

from runtime.network.policy import NetworkPolicy
from tests.runtime.network.conftest import OUTSIDE, World, run

TEAM = 7
MEGABIT = 1_000_000
SECONDS = 2


def sends(world: World, netns: object) -> float:
    """Megabits per second."""
    return int(world.ask(netns, "blast", OUTSIDE, 7000, SECONDS)) * 8 / MEGABIT / SECONDS


def receives(world: World, netns: object) -> float:
    return int(world.ask(netns, "pull", OUTSIDE, 7001, SECONDS)) * 8 / MEGABIT / SECONDS


def test_a_container_sends_and_receives_no_faster_than_its_team_may(world: World):
    world.peer(world.outside, "sink", 7000)
    world.peer(world.outside, "source", 7001)
    running, neighbour = world.attach("running", team=TEAM), world.attach("neighbour", team=TEAM + 1)
    free = sends(world, running.netns), receives(world, running.netns)
    world.network.set_policy(TEAM, NetworkPolicy(bandwidth=10 * MEGABIT))  # live
    later = world.attach("later", team=TEAM)
    for inside in (running, later):
        out, back = sends(world, inside.netns), receives(world, inside.netns)
        print(f"limit 10 Mbit/s: sends {out:.1f}, receives {back:.1f}; without a limit {free[0]:.0f} and {free[1]:.0f}")
        assert 5 < out < 13  # the burst and the socket's buffer are part of the first second
        assert 5 < back < 13
    assert sends(world, neighbour.netns) > 50
    world.network.set_policy(TEAM, NetworkPolicy(bandwidth=20 * MEGABIT))
    assert 13 < sends(world, running.netns) < 26
    world.network.set_policy(TEAM, NetworkPolicy())
    assert sends(world, running.netns) > 50
    assert receives(world, running.netns) > 50


def test_answers_to_the_router_are_held_to_it_as_well(world: World):
    inside = world.attach("one", team=TEAM)
    world.network.set_policy(TEAM, NetworkPolicy(bandwidth=10 * MEGABIT))
    world.peer(inside.netns, "source", 80)
    rate = int(world.ask(None, "pull", inside.address, 80, SECONDS)) * 8 / MEGABIT / SECONDS
    assert 5 < rate < 13


def test_a_limit_outlives_its_process_and_goes_with_the_container(world: World):
    world.network.set_policy(TEAM, NetworkPolicy(bandwidth=10 * MEGABIT))
    world.renew()
    inside = world.attach("one", team=TEAM)
    assert "tbf" in run("tc", "qdisc", "show", "dev", inside.interface)
    assert "tbf" in run("nsenter", f"--net={inside.netns}", "tc", "qdisc", "show", "dev", "eth0")
    world.network.detach("one")
    assert "tbf" not in run("tc", "qdisc", "show")
