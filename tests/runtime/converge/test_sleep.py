"""Tests of how apps fall asleep, stop and wake, in a simulated world."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.converge.actions import CreateInstance, StartInstance
from runtime.converge.desired import Sleep
from runtime.converge.observed import WEB, Phase
from runtime.converge.planning.plan import plan
from runtime.converge.report import State, report
from runtime.router.routes import AppSituation
from tests.runtime.converge.world import Killed, Temper, live

SLEEP = Sleep(after=600.0, stop_after=3600.0)


def idle(counts=None, *, seconds=700.0):
    world = live(counts or {WEB: 2, "worker": 1})
    world.sleep = SLEEP
    world.asked_at = world.now
    world.run(seconds, tick=5.0)
    return world


def phases(world):
    return sorted(
        (instance.slot.process, instance.phase.value, instance.frozen)
        for instance in world.instances.values()
    )


def test_an_app_without_requests_is_frozen_after_its_idle_time():
    world = live()
    world.sleep = SLEEP
    world.asked_at = world.now
    world.run(590, tick=5.0)
    assert world.routes.situation is AppSituation.SERVING
    world.run(30, tick=5.0)
    assert world.routes.situation is AppSituation.ASLEEP
    assert all(instance.frozen for instance in world.instances.values())


def test_workers_keep_running_while_web_sleeps():
    assert phases(idle()) == [
        ("web", "running", True),
        ("web", "running", True),
        ("worker", "running", False),
    ]


def test_the_first_request_is_answered_and_wakes_the_app():
    world = idle()
    before = set(world.instances)
    assert world.ask()
    world.run(60)
    assert world.routes.situation is AppSituation.SERVING
    assert set(world.instances) == before
    assert not any(instance.frozen for instance in world.instances.values())


def test_a_worker_keeps_an_app_awake_if_the_owner_wants_that():
    world = live({WEB: 1, "worker": 1})
    world.sleep = replace(SLEEP, workers_keep_awake=True)
    world.asked_at = world.now
    world.run(1000, tick=5.0)
    assert world.routes.situation is AppSituation.SERVING
    world.sleep = SLEEP
    world.run(20, tick=5.0)
    assert world.routes.situation is AppSituation.ASLEEP


def test_open_connections_keep_an_app_awake_and_late_ones_prevent_freezing():
    world = live({WEB: 1})
    world.sleep = SLEEP
    (only,) = world.instances.values()
    only.connections = 1  # a WebSocket: no request ends
    world.run(2000, tick=5.0)
    assert world.routes.situation is AppSituation.SERVING
    only.connections = 0
    world.step()
    assert world.routes.situation is AppSituation.ASLEEP
    only.connections = 1  # it connected just before the router got the new routes
    world.run(20)
    assert not only.frozen
    only.connections = 0
    world.run(5)
    assert only.frozen


def test_a_late_request_is_answered_before_an_app_is_stopped():
    world = live({WEB: 1})
    world.sleep = replace(SLEEP, stop_after=0.0)
    world.asked_at = world.now
    (only,) = world.instances.values()
    world.run(599, tick=5.0)
    while world.routes.situation is not AppSituation.ASLEEP:
        world.step()
        world.now += 1
    only.connections = 1  # it connected just before the router got the new routes
    world.run(20)
    assert only.phase is Phase.RUNNING
    only.connections = 0
    world.run(5)
    assert phases(world) == [("web", "created", False)]


def test_a_frozen_app_is_stopped_later_and_created_instances_are_kept_ready():
    world = idle(seconds=700.0 + 3700.0)
    assert phases(world) == [
        ("web", "created", False),
        ("web", "created", False),
        ("worker", "running", False),
    ]
    assert plan(world.desired, world.observe(), world.now).actions == ()
    assert not world.ask()  # its instances start, and the request is held until they are ready
    assert world.routes.situation is AppSituation.HOLDING
    world.run(5)
    assert world.ask()
    assert len(world.serving()) == 2


def test_an_instance_that_a_request_started_is_waking_until_it_is_healthy():
    def states():
        return {(row.process, row.state) for row in report(world.observe(), world.now)}

    world = idle(seconds=700.0 + 3700.0)
    assert states() == {("web", State.ASLEEP), ("worker", State.LIVE)}
    assert not world.ask()
    assert states() == {("web", State.WAKING), ("worker", State.LIVE)}
    world.run(5)
    assert states() == {("web", State.LIVE), ("worker", State.LIVE)}
    world.candidate = world.release(2, counts={WEB: 2, "worker": 1})
    world.step()
    assert State.WAKING not in {state for _, state in states()}, "a new release starts"


def test_a_deploy_or_the_end_of_the_sleep_setting_wakes_the_app():
    world = idle()
    world.candidate = world.release(2, counts={WEB: 2, "worker": 1})
    world.run(20)
    assert world.current.number == 2
    assert world.routes.situation is AppSituation.SERVING
    world = idle()
    world.sleep = None
    world.run(5)
    assert world.routes.situation is AppSituation.SERVING
    assert not any(instance.frozen for instance in world.instances.values())


def test_without_request_counts_nothing_falls_asleep():
    world = live()
    world.sleep = Sleep(after=1.0)
    observed = replace(world.observe(), active_at=None)
    assert plan(world.desired, observed, world.now + 1e6).actions == ()


def test_lost_ready_instances_are_created_again_for_the_current_release():
    world = idle(seconds=4500.0)
    for instance in world.instances.values():
        instance.phase = Phase.LOST if instance.phase is Phase.RUNNING else instance.phase
    world.instances = {
        key: instance
        for key, instance in world.instances.items()
        if instance.phase is not Phase.CREATED
    }
    made = world.step()
    assert {
        type(action)
        for action in made.actions
        if isinstance(action, (StartInstance, CreateInstance))
    } == {CreateInstance} or world.run(5) is None
    world.run(5)
    assert phases(world) == [
        ("web", "created", False),
        ("web", "created", False),
        ("worker", "running", False),
    ]


@settings(max_examples=120, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("wait"), st.sampled_from([1.0, 300.0, 650.0, 4000.0])),
            st.tuples(st.just("ask"), st.none()),
            st.tuples(st.just("deploy"), st.sampled_from([0.0, 3.0])),
            st.tuples(st.just("kill"), st.integers(0, 8)),
            st.tuples(st.just("scale"), st.integers(1, 3)),
            st.tuples(st.just("crash"), st.integers(0, 3)),
            st.tuples(st.just("wish"), st.sampled_from([None, SLEEP])),
        ),
        max_size=14,
    )
)
def test_after_any_events_a_request_is_answered_within_the_boot_time(events):
    world = live({WEB: 1, "worker": 1})
    world.sleep = SLEEP
    for number, (event, value) in enumerate(events, start=2):
        running = [
            instance for instance in world.instances.values() if instance.phase is Phase.RUNNING
        ]
        match event:
            case "wait":
                world.run(value, tick=0.5 if value < 10 else 10.0)
            case "ask":
                world.ask()
            case "deploy":
                world.candidate = world.release(
                    number, temper=Temper(boots_in=value), counts={WEB: 1, "worker": 1}
                )
            case "kill":
                world.lives_left = value
            case "scale":
                world.current = replace(
                    world.current,
                    processes=tuple(
                        replace(process, count=value if process.name == WEB else 1)
                        for process in world.current.processes
                    ),
                )
            case "crash" if running:
                victim = running[value % len(running)]
                victim.phase, victim.exited_at = Phase.EXITED, world.now
            case "wish":
                world.sleep = value
    world.lives_left = None
    answered = False
    for _ in range(80):
        answered = world.ask()
        if answered:
            break
        try:
            world.step()
        except Killed:
            continue
        world.now += 0.5
    assert answered
