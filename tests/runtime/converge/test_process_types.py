"""Tests of releases with several process types, of which some end or fail."""

from __future__ import annotations

import pytest

from runtime.converge.observed import WEB
from runtime.converge.report import State, report
from runtime.converge.strategy import Strategy, StrategyKind
from runtime.router.routes import PathRoute
from tests.runtime.converge.world import DIES, NEVER, Temper, World, live

ENDS = Temper(boots_in=None, dies_in=0.1)  # a command that ends by itself


@pytest.mark.parametrize("temper", [NEVER, DIES, ENDS])
def test_a_type_without_requests_that_fails_does_not_fail_the_first_rollout(temper):
    world = World()
    world.type_tempers[1, "seed"] = temper
    world.candidate = world.release(1, counts={WEB: 2, "seed": 1}, boot_seconds=5)
    world.run(12)
    assert world.current is not None
    assert world.current.number == 1
    assert world.failures == []
    assert len(world.serving()) == 2


@pytest.mark.parametrize(
    "kind", [kind for kind in StrategyKind if kind is not StrategyKind.RECREATE]
)
def test_a_new_release_replaces_the_old_one_although_its_worker_ends(kind):
    world = live({WEB: 2, "worker": 1})
    world.strategy = Strategy(kind=kind)
    world.type_tempers[2, "worker"] = ENDS
    world.candidate = world.release(2, counts={WEB: 2, "worker": 1})
    world.run(300, tick=1)
    assert world.current.number == 2
    assert world.failures == []
    assert {slot.group.release for slot in world.record.crashes} == {2}


def test_a_type_that_a_path_leads_to_fails_the_rollout():
    world = live({WEB: 1, "api": 1})
    world.paths = (PathRoute(prefix="/api", process="api"),)
    world.type_tempers[2, "api"] = ENDS
    world.candidate = world.release(2, counts={WEB: 1, "api": 1})
    world.settle()
    assert world.current.number == 1
    assert "api" in world.failures[0]


def test_without_a_web_process_every_type_decides():
    world = live({"worker": 1})
    world.type_tempers[2, "worker"] = ENDS
    world.candidate = world.release(2, counts={WEB: 0, "worker": 1})
    world.settle()
    assert world.current.number == 1
    assert len(world.failures) == 1


def test_a_type_that_ended_is_reported_with_the_way_to_stop_it():
    world = World()
    world.type_tempers[1, "seed"] = ENDS
    world.candidate = world.release(1, counts={WEB: 1, "seed": 1})
    world.run(20)
    absent = [line for line in report(world.observe(), world.now) if line.process == "seed"]
    assert [line.state for line in absent] == [State.CRASHED]
    assert "scale it to 0" in absent[0].detail
