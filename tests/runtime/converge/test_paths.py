"""Tests of process types that serve a path.

Their requests are held, their count is kept and their instances are probed as those of web are,
separately for each type.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.converge.actions import RecordCrash, SetRoutes
from runtime.converge.observed import WEB, Phase
from runtime.converge.strategy import CanaryStep, Strategy, StrategyKind
from runtime.router.routes import AppRoutes, AppSituation, PathRoute
from tests.runtime.converge.test_strategies import watch
from tests.runtime.converge.world import DIES, Killed, World, scaled

API = "api"
PATHS = (PathRoute(prefix="/api", process=API), PathRoute(prefix="/v2", process=API))


def live(counts: dict[str, int], *, paths: tuple[PathRoute, ...] = PATHS) -> World:
    world = World(paths=paths)
    world.candidate = world.release(1, counts=counts)
    world.settle()
    return world


def of(world: World, process: str) -> list[str]:
    return [key for key, instance in world.instances.items() if instance.slot.process == process]


def serving(world: World, process: str) -> list[str]:
    """Return the instances of the process type that receive requests and answer them."""
    return [
        key
        for key in world.serving()
        if world.instances[key].slot.process == process and world.answers(key)
    ]


def crash(world: World, *instances: str) -> None:
    for key in instances:
        world.instances[key].phase, world.instances[key].exited_at = Phase.EXITED, world.now


def situations(routes: AppRoutes) -> tuple[AppSituation, AppSituation]:
    """Return the situation of web and of the paths.

    All paths belong to one process type and so have the same situation.
    """
    (path,) = {path.situation for path in routes.paths}
    return routes.situation, path


def test_paths_are_held_during_a_restart_and_not_during_a_crash_loop():
    world = live({WEB: 1, API: 1})
    assert situations(world.routes) == (AppSituation.SERVING, AppSituation.SERVING)
    crash(world, *of(world, API))
    world.step()
    assert situations(world.routes) == (AppSituation.SERVING, AppSituation.HOLDING)
    world.run(3)
    assert situations(world.routes) == (AppSituation.SERVING, AppSituation.SERVING)
    world.tempers[1] = DIES
    crash(world, *of(world, API))
    world.run(40)
    assert situations(world.routes) == (AppSituation.SERVING, AppSituation.CRASHED)


def test_a_path_is_not_held_while_only_web_restarts():
    world = live({WEB: 1, API: 1})
    crash(world, *of(world, WEB))
    world.step()
    assert situations(world.routes) == (AppSituation.HOLDING, AppSituation.SERVING)


def test_a_path_waits_for_its_first_instance_unless_none_is_desired():
    world = live({WEB: 1, API: 0})
    assert situations(world.routes) == (AppSituation.SERVING, AppSituation.NO_INSTANCE)
    world.current = scaled(world.current, {API: 1})
    world.step()
    assert situations(world.routes) == (AppSituation.SERVING, AppSituation.HOLDING)
    world.settle()
    assert situations(world.routes) == (AppSituation.SERVING, AppSituation.SERVING)


def test_recreate_holds_the_paths_with_web():
    world = live({WEB: 1, API: 1})
    world.strategy = Strategy(kind=StrategyKind.RECREATE)
    world.candidate = world.release(2, counts={WEB: 1, API: 1})
    seen = {
        situations(action.routes)
        for made in watch(world)
        for action in made.actions
        if isinstance(action, SetRoutes)
    }
    assert (AppSituation.HOLDING, AppSituation.HOLDING) in seen
    assert all(
        situation in (AppSituation.HOLDING, AppSituation.SERVING)
        for pair in seen
        for situation in pair
    )


def test_a_path_of_the_candidate_is_not_held_while_its_canary_runs():
    world = live({WEB: 1})
    world.strategy = Strategy(
        kind=StrategyKind.CANARY, steps=(CanaryStep(percent=10, seconds=60.0),)
    )
    world.candidate = world.release(2, counts={WEB: 1, API: 1})
    world.run(30)
    assert situations(world.routes) == (AppSituation.SERVING, AppSituation.NO_INSTANCE)
    world.settle()
    assert situations(world.routes) == (AppSituation.SERVING, AppSituation.SERVING)


def test_an_old_instance_stays_while_the_count_needs_it():
    world = live({WEB: 1, API: 2})
    victim, other = serving(world, API)
    world.candidate = world.release(2, counts={WEB: 1, API: 2})
    while not [
        key
        for key in of(world, API)
        if world.instances[key].slot.group.release == 2 and world.answers(key)
    ]:
        world.now += 0 if world.step().actions else 0.1
    crash(world, victim)
    world.step()
    assert other in serving(world, API), "two instances are desired, and this is the second"
    world.settle()
    assert len(serving(world, API)) == 2


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_rolling_keeps_the_count_of_every_process_type_despite_kills(data):
    counts = {WEB: data.draw(st.integers(1, 3)), API: data.draw(st.integers(1, 3))}
    world = live(counts)
    world.candidate = world.release(2, counts=counts)
    for _ in range(data.draw(st.integers(5, 60))):
        if known := sorted(world.instances):
            crash(world, *data.draw(st.sets(st.sampled_from(known), max_size=1)))
        world.lives_left = data.draw(st.one_of(st.none(), st.integers(0, 6)))
        before = {process: len(serving(world, process)) for process in counts}
        made = None
        try:
            made = world.step()
        except Killed:
            pass
        for process, count in counts.items():
            assert len(serving(world, process)) >= min(before[process], count)
        world.now += 0 if made is None or made.actions else 0.3


def test_a_failing_instance_of_a_path_is_restarted_and_web_is_unchanged():
    world = live({WEB: 1, API: 2})
    sick, well = serving(world, API)
    (web,) = serving(world, WEB)
    world.instances[sick].sick_since = world.now
    world.run(35)
    assert serving(world, API) == [well]
    world.run(60)
    assert sick not in world.instances
    assert web in world.instances
    assert len(serving(world, API)) == 2


def test_instances_of_a_path_are_probed_only_while_the_path_exists():
    world = live({WEB: 1, API: 2}, paths=())
    assert set(world.record.checks_to_run()) == set(of(world, WEB))
    ready = {key: marks.ready_at for key, marks in world.record.marks.items()}
    world.paths = PATHS
    world.settle()
    assert world.record.checks_to_run() == dict.fromkeys(world.instances, world.health)
    assert {key: marks.ready_at for key, marks in world.record.marks.items()} == ready
    sick, well = serving(world, API)
    world.instances[sick].sick_since = world.now
    world.run(35)
    assert serving(world, API) == [well]
    world.paths = ()
    buried = []
    for _ in range(200):
        buried += [action for action in world.step().actions if isinstance(action, RecordCrash)]
        world.now += 1.0
    assert buried == [], "it receives no requests, so it need not answer"
    assert set(world.record.checks_to_run()) == set(of(world, WEB))


@pytest.mark.parametrize("process", [WEB, API])
def test_the_situation_of_a_process_type_is_that_of_its_path(process):
    path = PathRoute(prefix="/x", process=process, situation=AppSituation.HOLDING)
    routes = AppRoutes(app="demo", hosts=(), paths=(path,), situation=AppSituation.HOLDING)
    assert routes.situation_of(process) is AppSituation.HOLDING
    assert (
        routes.with_situation(process, AppSituation.SERVING).paths[0].situation
        is AppSituation.SERVING
    )
    assert routes.situation_of("other") is AppSituation.NO_INSTANCE
    asleep = routes.with_situation(WEB, AppSituation.ASLEEP)
    assert asleep.situation_of(process) is AppSituation.ASLEEP
