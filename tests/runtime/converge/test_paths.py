"""Process types that a path leads to: held, kept at their count and asked for life as web is, each on its own."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.converge.actions import RecordCrash, SetRoutes
from runtime.converge.observed import WEB, Phase
from runtime.converge.strategy import CanaryStep, Kind, Strategy
from runtime.router.routes import AppRoutes, AppSituation, PathRoute
from tests.runtime.converge.test_plan import DIES
from tests.runtime.converge.test_strategies import watch
from tests.runtime.converge.world import Killed, World, scaled

API = "api"
PATHS = (PathRoute(prefix="/api", process=API), PathRoute(prefix="/v2", process=API))


def live(counts: dict[str, int], *, paths: tuple[PathRoute, ...] = PATHS) -> World:
    world = World(paths=paths)
    world.candidate = world.release(1, counts=counts)
    world.settle()
    return world


def of(world: World, process: str) -> list[str]:
    return [key for key, one in world.instances.items() if one.place.process == process]


def serving(world: World, process: str) -> list[str]:
    """That the router sends requests to, and that answer them."""
    return [key for key in world.serving() if world.instances[key].place.process == process and world.answers(key)]


def crash(world: World, *instances: str) -> None:
    for one in instances:
        world.instances[one].phase, world.instances[one].exited_at = Phase.EXITED, world.now


def situations(routes: AppRoutes) -> tuple[AppSituation, AppSituation]:
    """Of web and of the paths, which are one process type's and so all alike."""
    (path,) = {path.situation for path in routes.paths}
    return routes.situation, path


def test_a_moment_without_instances_is_held_on_its_paths_and_a_crash_loop_is_not():
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


def test_a_path_is_not_held_for_web_s_sake():
    world = live({WEB: 1, API: 1})
    crash(world, *of(world, WEB))
    world.step()
    assert situations(world.routes) == (AppSituation.HOLDING, AppSituation.SERVING)


def test_a_path_waits_for_its_first_instance_and_for_none_that_nobody_wants():
    world = live({WEB: 1, API: 0})
    assert situations(world.routes) == (AppSituation.SERVING, AppSituation.NO_INSTANCE)
    world.current = scaled(world.current, {API: 1})
    world.step()
    assert situations(world.routes) == (AppSituation.SERVING, AppSituation.HOLDING)
    world.settle()
    assert situations(world.routes) == (AppSituation.SERVING, AppSituation.SERVING)


def test_when_the_old_stops_first_paths_are_held_with_web():
    world = live({WEB: 1, API: 1})
    world.strategy = Strategy(kind=Kind.RECREATE)
    world.candidate = world.release(2, counts={WEB: 1, API: 1})
    seen = {situations(action.routes) for made in watch(world) for action in made.actions if isinstance(action, SetRoutes)}
    assert (AppSituation.HOLDING, AppSituation.HOLDING) in seen
    assert all(one in (AppSituation.HOLDING, AppSituation.SERVING) for pair in seen for one in pair)


def test_nobody_waits_for_what_starts_only_after_a_canary_was_watched():
    world = live({WEB: 1})
    world.strategy = Strategy(kind=Kind.CANARY, steps=(CanaryStep(percent=10, seconds=60.0),))
    world.candidate = world.release(2, counts={WEB: 1, API: 1})
    world.run(30)
    assert situations(world.routes) == (AppSituation.SERVING, AppSituation.NO_INSTANCE)
    world.settle()
    assert situations(world.routes) == (AppSituation.SERVING, AppSituation.SERVING)


def test_an_old_one_stays_while_its_place_in_the_count_is_needed():
    world = live({WEB: 1, API: 2})
    victim, other = serving(world, API)
    world.candidate = world.release(2, counts={WEB: 1, API: 2})
    while not [key for key in of(world, API) if world.instances[key].place.group.release == 2 and world.answers(key)]:
        world.now += 0 if world.step().actions else 0.1
    crash(world, victim)
    world.step()
    assert other in serving(world, API), "with it there are two, as are wanted"
    world.settle()
    assert len(serving(world, API)) == 2


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_rolling_takes_nobody_out_whom_the_count_needs_whoever_crashes_and_whenever_we_are_killed(data):
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


def test_one_that_fails_leaves_its_pool_and_is_restarted_while_web_is_left_alone():
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


def test_what_a_path_leads_to_is_asked_from_then_on_and_no_more_when_it_ends():
    world = live({WEB: 1, API: 2}, paths=())
    assert set(world.record.to_be_asked()) == set(of(world, WEB))
    ready = {key: marks.ready_at for key, marks in world.record.marks.items()}
    world.paths = PATHS
    world.settle()
    assert world.record.to_be_asked() == dict.fromkeys(world.instances, world.health)
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
    assert buried == [], "it answers nobody's requests, and need not"
    assert set(world.record.to_be_asked()) == set(of(world, WEB))


@pytest.mark.parametrize("process", [WEB, API])
def test_what_is_asked_of_a_process_type_is_told_by_the_path_that_leads_there(process):
    path = PathRoute(prefix="/x", process=process, situation=AppSituation.HOLDING)
    routes = AppRoutes(app="demo", hosts=(), paths=(path,), situation=AppSituation.HOLDING)
    assert routes.situation_of(process) is AppSituation.HOLDING
    assert routes.with_situation(process, AppSituation.SERVING).paths[0].situation is AppSituation.SERVING
    assert routes.situation_of("other") is AppSituation.NO_INSTANCE
    asleep = routes.with_situation(WEB, AppSituation.ASLEEP)
    assert asleep.situation_of(process) is AppSituation.ASLEEP
