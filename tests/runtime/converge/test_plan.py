"""Tests that run plans in a simulated world: examples of known situations, Hypothesis for others."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.contract.quantities import Bytes
from runtime.converge.actions import FailCandidate, PromoteGroup, RecordCrash, SetLimits, SetRoutes, StartInstance
from runtime.converge.app_state import AppState
from runtime.converge.observed import WEB, Phase
from runtime.converge.planning.plan import OutcomeState, plan
from runtime.converge.strategy import CanaryStep, Strategy, StrategyKind
from runtime.router.routes import AppSituation
from tests.runtime.converge.world import SMALL, Killed, Temper, World, scaled

NEVER = Temper(boots_in=None)
DIES = Temper(boots_in=None, dies_in=0.3)


def live(counts: dict[str, int] | None = None) -> World:
    world = World()
    world.candidate = world.release(1, counts=counts)
    world.settle()
    assert world.current is not None
    return world


def test_a_first_deploy_serves_only_when_all_are_healthy():
    world = World()
    world.candidate = world.release(1, counts={WEB: 3})
    world.run(0.9, tick=0.1)
    assert len(world.instances) == 3
    assert world.serving() == []
    assert world.routes.situation is AppSituation.NOT_DEPLOYED
    world.run(2)
    assert len(world.serving()) == 3
    assert world.current.number == 1


def test_blue_green_switches_in_one_message_and_drains_the_old():
    world = live({WEB: 2})
    world.strategy = Strategy(kind=StrategyKind.BLUE_GREEN)
    old = set(world.serving())
    world.candidate = world.release(2)
    switches = []
    while world.candidate is not None:
        made = world.step()
        switches += [action.routes for action in made.actions if isinstance(action, SetRoutes)]
        world.now += 0 if made.actions else 0.2
    draining = {endpoint.instance for endpoint in switches[0].endpoints if endpoint.draining}
    fresh = {endpoint.instance for endpoint in switches[0].endpoints if not endpoint.draining}
    assert draining == old
    assert len(fresh) == 2
    assert not fresh & old
    world.settle()
    assert set(world.instances) == fresh


@pytest.mark.parametrize("temper", [NEVER, DIES, Temper(boots_in=2.0, dies_in=1.0)])
def test_a_failing_candidate_keeps_the_old_release_and_says_why(temper):
    world = live()
    old = world.serving()
    world.candidate = world.release(2, temper=temper)
    world.settle()
    assert world.serving() == old == sorted(world.instances)
    assert world.current.number == 1
    assert len(world.failures) == 1
    assert "of v2 did not become ready" in world.failures[0]


def test_a_failed_release_may_be_retried_but_one_attempt_fails_once():
    world = live()
    candidate = world.candidate = world.release(2, temper=NEVER)
    world.settle()
    world.candidate = candidate
    assert world.step().outcome.state is OutcomeState.FAILED
    assert len(world.instances) == 2
    world.tempers[2] = Temper()
    world.candidate = replace(candidate, attempt="again")
    world.settle()
    assert world.current.number == 2


def test_a_crashed_instance_leaves_the_router_and_is_restarted():
    world = live()
    victim = world.serving()[0]
    world.instances[victim].phase, world.instances[victim].exited_at = Phase.EXITED, world.now
    made = world.step()
    assert isinstance(made.actions[0], SetRoutes)
    assert any(isinstance(action, RecordCrash) for action in made.actions)
    assert victim not in world.serving()
    assert len(world.serving()) == 1
    world.run(2)
    assert len(world.serving()) == 2


def test_a_crash_loop_is_restarted_at_the_times_of_the_table():
    world = live({WEB: 1})
    world.tempers[1] = DIES
    world.launches.clear()
    victim = world.serving()[0]
    world.instances[victim].phase, world.instances[victim].exited_at = Phase.EXITED, world.now
    begin = world.now
    world.run(4000, tick=0.1)
    times = [round(at - begin, 1) for at, _ in world.launches]
    gaps = [round(later - earlier - 0.3) for earlier, later in itertools.pairwise(times)]
    assert times[0] == 0
    assert gaps == [0, 0, 30, 60, 120, 240, 480, 960, 960, 960][: len(gaps)]
    assert len(gaps) >= 8
    assert world.routes.situation is AppSituation.CRASHED


def test_a_slot_that_keeps_losing_instances_is_empty_for_seconds_only():
    world = live({WEB: 1})
    empty, longest = 0, 0
    for second in range(200):
        if second % 20 == 0:
            for key in world.serving():
                world.instances[key].phase = Phase.LOST
        world.run(1, tick=0.1)
        assert world.routes.situation in {AppSituation.SERVING, AppSituation.HOLDING}  # no request is refused
        empty = 0 if world.serving() else empty + 1
        longest = max(longest, empty)
    assert next(iter(world.record.crashes.values())).count == 10
    assert 10 <= longest <= 17


def test_five_healthy_minutes_reset_the_crash_counter_and_less_does_not():
    world = live({WEB: 1})
    victim = world.serving()[0]
    world.instances[victim].phase, world.instances[victim].exited_at = Phase.EXITED, world.now
    world.run(298, tick=1)
    assert world.record.crashes
    world.run(10, tick=1)
    assert not world.record.crashes


def test_a_crash_is_counted_once_even_if_the_process_is_killed_meanwhile():
    world = live({WEB: 1})
    victim = world.serving()[0]
    world.instances[victim].phase, world.instances[victim].exited_at = Phase.EXITED, world.now
    world.lives_left = 2  # enough for two effects: the routes and the record
    with pytest.raises(Killed):
        world.step()
    world.settle()
    assert [crashes.count for crashes in world.record.crashes.values()] == [1]


def test_scaling_changes_no_other_instances():
    world = live({WEB: 2, "worker": 1})
    before = set(world.instances)
    world.current = scaled(world.current, {WEB: 4})
    world.settle()
    assert before < set(world.instances)
    assert len(world.serving()) == 4
    world.current = scaled(world.current, {WEB: 1, "worker": 0})
    world.settle()
    assert len(world.serving()) == 1
    assert len(world.instances) == 1
    assert set(world.instances) < before


def test_new_limits_are_applied_without_a_restart():
    world = live({WEB: 1})
    bigger = replace(SMALL, memory=Bytes(2**27))
    world.current = replace(world.current, processes=tuple(replace(process, limits=bigger) for process in world.current.processes))
    before = set(world.instances)
    assert [type(action) for action in world.step().actions] == [SetLimits]
    world.settle()
    assert set(world.instances) == before


def test_a_restart_is_rolling_and_waits_for_a_fresh_instance_that_crashes():
    world = live()
    old = set(world.serving())
    world.tempers[1] = DIES
    world.current = replace(world.current, generation=1)
    world.run(20)
    assert set(world.serving()) == old
    world.tempers[1] = Temper()
    world.settle()
    assert len(world.serving()) == 2
    assert not set(world.serving()) & old


def test_a_current_instance_that_crashes_during_a_rollout_is_restarted():
    world = live()
    world.candidate = world.release(2, temper=Temper(boots_in=50))
    world.run(2)
    victim = world.serving()[0]
    world.instances[victim].phase, world.instances[victim].exited_at = Phase.EXITED, world.now
    world.run(4)
    assert len(world.serving()) == 2
    assert {world.instances[key].place.group.release for key in world.serving()} == {1}
    world.settle()
    assert world.current.number == 2


def test_a_superseded_candidate_never_serves():
    world = live()
    world.candidate = world.release(2, temper=Temper(boots_in=5))
    world.run(3)
    world.candidate = world.release(3)
    while world.candidate:
        world.step()
        world.now += 0.1
        assert {world.instances[key].place.group.release for key in world.serving()} <= {1, 3}
    world.settle()
    assert {instance.place.group.release for instance in world.instances.values()} == {3}


def test_deletion_removes_the_app_from_the_router_before_it_stops_it():
    world = live()
    world.deleted = True
    world.settle()
    assert world.instances == {}
    assert world.routes is None
    assert world.record.marks == {}


def test_a_lost_record_does_not_restart_anything():
    world = live()
    before = set(world.instances)
    world.record = AppState()
    world.settle()
    assert set(world.instances) == before
    assert set(world.serving()) == before


def test_after_a_reboot_everything_starts_without_back_off():
    world = live()
    for instance in world.instances.values():
        instance.phase = Phase.LOST
    world.run(3)
    assert len(world.serving()) == 2


def test_an_old_web_instance_stops_when_it_is_drained_or_its_time_is_up():
    world = live({WEB: 1})
    old = world.serving()[0]
    world.instances[old].connections = 3
    world.candidate = world.release(2, counts={WEB: 1})
    while world.candidate is not None:
        if not world.step().actions:
            world.now += 0.2
    since = world.record.marks[old].draining_since
    held = plan(world.desired, world.observe(), since + 29)
    assert held.waiting
    assert not held.actions
    assert [action.describe() for action in plan(world.desired, world.observe(), since + 30).actions][-1] == "Stop web 1 of v1"
    world.instances[old].connections = 0
    assert [action.describe() for action in plan(world.desired, world.observe(), since + 1).actions][-1] == "Stop web 1 of v1"


def test_every_action_describes_itself_in_one_line():
    world = live()
    world.candidate = world.release(2, temper=NEVER, boot_seconds=3)
    said = []
    for _ in range(60):
        made = world.step()
        said += [action.describe() for action in made.actions]
        world.now += 1
    assert all(text and "\n" not in text for text in said)
    assert "Start web 1 of v2 with 0.1 CPU and 64 MiB" in said
    assert any(text.startswith("Give up v2: web 1 of v2") for text in said)


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("deploy"), st.sampled_from([Temper(), Temper(boots_in=0.0), Temper(boots_in=7.0), NEVER, DIES])),
        st.tuples(st.just("scale"), st.integers(0, 4)),
        st.tuples(st.just("workers"), st.integers(0, 2)),
        st.tuples(st.just("restart"), st.none()),
        st.tuples(st.just("crash"), st.integers(0, 5)),
        st.tuples(st.just("lose"), st.integers(0, 5)),
        st.tuples(st.just("kill"), st.integers(0, 12)),
        st.tuples(st.just("steps"), st.integers(1, 6)),
        st.tuples(st.just("wait"), st.sampled_from([0.2, 1.0, 5.0, 40.0, 400.0])),
        st.tuples(st.just("forget"), st.none()),
    ),
    max_size=25,
)


def play(world: World, event: str, value: object, number: int) -> None:
    victims = [instance for instance in world.instances.values() if instance.phase is Phase.RUNNING]
    match event:
        case "deploy":
            counts = {entry.name: entry.count for entry in (world.current.processes if world.current else ())} or {WEB: 2, "worker": 1}
            world.candidate = world.release(number, temper=value, counts=counts)
        case "scale" | "workers":
            counts = {WEB if event == "scale" else "worker": value}
            world.current = world.current and scaled(world.current, counts)
            world.candidate = world.candidate and scaled(world.candidate, counts)
        case "restart":
            world.current = world.current and replace(world.current, generation=world.current.generation + 1)
            world.candidate = world.candidate and replace(world.candidate, generation=world.candidate.generation + 1)
        case "crash" | "lose" if victims:
            victim = victims[value % len(victims)]
            victim.phase, victim.exited_at = (Phase.EXITED, world.now) if event == "crash" else (Phase.LOST, None)
        case "kill":
            world.lives_left = value
        case "steps":
            for _ in range(value):
                try:
                    world.step()
                except Killed:
                    continue
        case "wait":
            world.run(value, tick=0.25 if value < 10 else 5.0)
        case "forget":
            world.record = AppState()


WAYS = st.sampled_from(
    [
        Strategy(),
        Strategy(surge=2),
        Strategy(kind=StrategyKind.BLUE_GREEN),
        Strategy(kind=StrategyKind.CANARY, steps=(CanaryStep(percent=1, seconds=2.0), CanaryStep(percent=50, seconds=2.0))),
        Strategy(kind=StrategyKind.CANARY, steps=()),
        Strategy(kind=StrategyKind.RECREATE),
    ]
)
NEVER_LESS = WAYS.filter(lambda way: way.kind is not StrategyKind.RECREATE)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(WAYS, EVENTS)
def test_any_events_converge_to_the_desired_state(way, events):
    world = World(strategy=way)
    world.candidate = world.release(1, counts={WEB: 2, "worker": 1})
    for number, (event, value) in enumerate(events, start=2):
        play(world, event, value, number)
    bad = {
        number
        for number, temper in world.tempers.items()
        if temper in (NEVER, DIES) and (world.current is None or world.current.number != number)
    }
    world.tempers = {number: temper if number in bad else Temper(boots_in=0.0) for number, temper in world.tempers.items()}
    for instance in world.instances.values():
        instance.temper = world.tempers[instance.place.group.release]
    world.settle()
    desired = world.current.processes if world.current else ()
    wanted = sorted((process.name, number) for process in desired for number in range(1, process.count + 1))
    assert sorted((instance.place.process, instance.place.number) for instance in world.instances.values()) == wanted
    assert all(
        instance.phase is Phase.RUNNING and instance.place.group.release == world.current.number for instance in world.instances.values()
    )
    assert len(world.serving()) == sum(1 for name, _ in wanted if name == WEB)
    assert plan(world.desired, world.observe(), world.now).actions == ()


@settings(max_examples=150, deadline=None)
@given(
    NEVER_LESS,
    st.integers(1, 4),
    st.lists(st.tuples(st.sampled_from([Temper(), Temper(boots_in=7.0), NEVER, DIES]), st.integers(0, 30)), max_size=4),
)
def test_rollouts_never_leave_fewer_healthy_instances_than_desired(way, count, rollouts):
    world = live({WEB: count})
    world.strategy = way
    for number, (temper, lives) in enumerate(rollouts, start=2):
        world.candidate = world.release(number, temper=temper, counts={WEB: count})
        world.lives_left = lives
        for _ in range(300):
            try:
                made = world.step()
            except Killed:
                continue
            finally:
                assert sum(1 for key in world.serving() if world.answers(key) and not world.is_canary(key)) >= count
            world.now += 0 if made.actions else 0.7
            if world.candidate is None and made.settled:
                break
        assert world.candidate is None
    assert len({instance.place.group for instance in world.instances.values()}) == 1


@settings(max_examples=100, deadline=None)
@given(WAYS, EVENTS)
def test_equal_observations_give_equal_plans_and_notes_are_recorded_once(way, events):
    world = World(strategy=way)
    world.candidate = world.release(1, counts={WEB: 2, "worker": 1})
    for number, (event, value) in enumerate(events, start=2):
        play(world, event, value, number)
    observed = world.observe()
    first, second = plan(world.desired, observed, world.now), plan(world.desired, observed, world.now)
    assert first == second
    ids = [action.instance for action in first.actions if isinstance(action, RecordCrash)]
    assert len(ids) == len(set(ids))
    places = [action.place for action in first.actions if isinstance(action, StartInstance)]
    assert len(places) == len(set(places))
    assert sum(isinstance(action, PromoteGroup) for action in first.actions) <= 2
    assert sum(isinstance(action, FailCandidate) for action in first.actions) <= 1
