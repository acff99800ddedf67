"""Tests of plans with Hypothesis: random events in a simulated world."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.converge.actions import FailCandidate, PromoteGroup, RecordCrash, StartInstance
from runtime.converge.app_state import AppState
from runtime.converge.observed import WEB, Phase
from runtime.converge.planning.plan import plan
from runtime.converge.strategy import CanaryStep, Strategy, StrategyKind
from tests.runtime.converge.world import DIES, NEVER, Killed, Temper, World, live, scaled

EVENTS = st.lists(
    st.one_of(
        st.tuples(
            st.just("deploy"),
            st.sampled_from([Temper(), Temper(boots_in=0.0), Temper(boots_in=7.0), NEVER, DIES]),
        ),
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
            counts = {
                entry.name: entry.count
                for entry in (world.current.processes if world.current else ())
            } or {WEB: 2, "worker": 1}
            world.candidate = world.release(number, temper=value, counts=counts)
        case "scale" | "workers":
            counts = {WEB if event == "scale" else "worker": value}
            world.current = world.current and scaled(world.current, counts)
            world.candidate = world.candidate and scaled(world.candidate, counts)
        case "restart":
            world.current = world.current and replace(
                world.current, generation=world.current.generation + 1
            )
            world.candidate = world.candidate and replace(
                world.candidate, generation=world.candidate.generation + 1
            )
        case "crash" | "lose" if victims:
            victim = victims[value % len(victims)]
            victim.phase, victim.exited_at = (
                (Phase.EXITED, world.now) if event == "crash" else (Phase.LOST, None)
            )
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
        Strategy(
            kind=StrategyKind.CANARY,
            steps=(CanaryStep(percent=1, seconds=2.0), CanaryStep(percent=50, seconds=2.0)),
        ),
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
    world.tempers = {
        number: temper if number in bad else Temper(boots_in=0.0)
        for number, temper in world.tempers.items()
    }
    for instance in world.instances.values():
        instance.temper = world.tempers[instance.slot.group.release]
    world.settle()
    desired = world.current.processes if world.current else ()
    wanted = sorted(
        (process.name, number) for process in desired for number in range(1, process.count + 1)
    )
    assert (
        sorted(
            (instance.slot.process, instance.slot.number) for instance in world.instances.values()
        )
        == wanted
    )
    assert all(
        instance.phase is Phase.RUNNING and instance.slot.group.release == world.current.number
        for instance in world.instances.values()
    )
    assert len(world.serving()) == sum(1 for name, _ in wanted if name == WEB)
    assert plan(world.desired, world.observe(), world.now).actions == ()


@settings(max_examples=150, deadline=None)
@given(
    NEVER_LESS,
    st.integers(1, 4),
    st.lists(
        st.tuples(
            st.sampled_from([Temper(), Temper(boots_in=7.0), NEVER, DIES]), st.integers(0, 30)
        ),
        max_size=4,
    ),
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
                assert (
                    sum(
                        1
                        for key in world.serving()
                        if world.answers(key) and not world.is_canary(key)
                    )
                    >= count
                )
            world.now += 0 if made.actions else 0.7
            if world.candidate is None and made.settled:
                break
        assert world.candidate is None
    assert len({instance.slot.group for instance in world.instances.values()}) == 1


@settings(max_examples=100, deadline=None)
@given(WAYS, EVENTS)
def test_equal_observations_give_equal_plans_and_notes_are_recorded_once(way, events):
    world = World(strategy=way)
    world.candidate = world.release(1, counts={WEB: 2, "worker": 1})
    for number, (event, value) in enumerate(events, start=2):
        play(world, event, value, number)
    observed = world.observe()
    first, second = (
        plan(world.desired, observed, world.now),
        plan(world.desired, observed, world.now),
    )
    assert first == second
    ids = [action.instance for action in first.actions if isinstance(action, RecordCrash)]
    assert len(ids) == len(set(ids))
    slots = [action.slot for action in first.actions if isinstance(action, StartInstance)]
    assert len(slots) == len(set(slots))
    assert sum(isinstance(action, PromoteGroup) for action in first.actions) <= 2
    assert sum(isinstance(action, FailCandidate) for action in first.actions) <= 1
