"""Tests of liveness checks in a simulated world.

The default check runs every 10 s. Three failures in a row remove an instance from the pool; nine
restart it.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.contract.health import CheckKind, HealthCheck
from runtime.converge import app_state
from runtime.converge.actions import RecordCrash, ReturnToRotation, TakeOutOfRotation
from runtime.converge.app_state import AppState
from runtime.converge.observed import WEB, InstanceState, ProbeResult, Slot
from runtime.converge.planning.plan import plan
from runtime.converge.probing import probe_results
from runtime.converge.report import State, report
from runtime.converge.strategy import CanaryStep, Strategy, StrategyKind
from tests.runtime.converge.world import Killed, World, live


def fall_sick(world: World, *instances: str) -> None:
    for key in instances:
        world.instances[key].sick_since = world.now


def played(world: World, seconds: float) -> list[object]:
    """Return the actions of the next `seconds`."""
    done, until = [], world.now + seconds
    while world.now < until:
        made = world.step()
        done += made.actions
        world.now += 0 if made.actions else 0.5
    return done


def test_a_failing_instance_leaves_the_pool_and_returns_after_one_success():
    world = live({WEB: 2})
    sick, well = world.serving()
    fall_sick(world, sick)
    assert played(world, 29) == []
    note, _ = played(world, 5)
    assert isinstance(note, TakeOutOfRotation)
    assert (
        note.describe()
        == "web 1 of v1 gets no new requests while another instance is healthy: GET / got no answer"
        " within 5 s, 3 times in a row."
    )
    assert world.serving() == [well]
    assert [endpoint.instance for endpoint in world.routes.endpoints if endpoint.draining] == [sick]
    assert played(world, 20) == []
    world.instances[sick].sick_since = None
    assert isinstance(played(world, 1)[0], ReturnToRotation)
    assert sorted(world.serving()) == [sick, well]
    assert not world.record.crashes


def test_the_last_instance_keeps_its_traffic_and_its_failures_are_shown():
    world = live({WEB: 1})
    (only,) = world.serving()
    fall_sick(world, only)
    played(world, 40)
    assert world.serving() == [only]
    (shown,) = report(world.observe(), world.now)
    assert shown.state is State.LIVE
    assert (
        shown.detail
        == "It fails its health check: GET / got no answer within 5 s, 4 times in a row."
    )


def test_an_instance_that_keeps_failing_is_restarted_and_counts_as_a_crash():
    world = live({WEB: 2})
    sick, _ = world.serving()
    slot = world.instances[sick].slot
    for times in range(1, 6):
        (now_there,) = [key for key, instance in world.instances.items() if instance.slot == slot]
        fall_sick(world, now_there)
        (buried,) = [action for action in played(world, 92) if isinstance(action, RecordCrash)]
        assert buried.instance == now_there
        assert (
            buried.reason
            == "It no longer answered its health check: GET / got no answer within 5 s, 9 times in"
            " a row."
        )
        assert world.record.crashes[slot].count == times
        if times > 3:
            world.run(30.0 * 2 ** (times - 4) + 5)


def test_if_all_fail_all_keep_serving_and_are_restarted_in_turn():
    world = live({WEB: 3})
    first = set(world.serving())
    fall_sick(world, *first)
    played(world, 80)
    assert set(world.serving()) == first
    for left in (2, 1, 0):
        while len(first & set(world.instances)) > left:
            world.step()
            world.now += 0.5
        assert len(first & set(world.instances)) == left
        # The next old instance is not stopped until the fresh one is healthy.
        assert len(world.serving()) >= left
    world.run(5)
    assert len(world.serving()) == 3


def test_a_canary_that_stops_answering_loses_its_share_and_is_rolled_back():
    world = live({WEB: 2})
    old = world.serving()
    world.strategy = Strategy(
        kind=StrategyKind.CANARY, steps=(CanaryStep(percent=10, seconds=600.0),)
    )
    world.candidate = world.release(2)
    world.run(5)
    (canary,) = filter(world.is_canary, world.serving())
    fall_sick(world, canary)
    world.run(40)
    assert world.serving() == old
    assert world.routes.canary is None
    world.run(60)
    assert world.candidate is None
    assert (
        "web 1 of v2 became ready, and then no longer answered its health check: GET / got no"
        " answer" in world.failures[0]
    )


def test_stale_probe_results_are_ignored():
    world = live({WEB: 2})
    observed = world.observe()
    sick, *others = observed.instances
    old = ProbeResult(failures=99, at=world.now - 46, trouble="was refused")
    assert plan(
        world.desired, replace(observed, instances=(replace(sick, pulse=old), *others)), world.now
    ).settled


def test_an_instance_that_is_being_removed_is_not_returned_to_the_pool():
    world = live({WEB: 2})
    sick, _ = world.serving()
    fall_sick(world, sick)
    played(world, 35)
    world.current = replace(world.current, generation=1)
    notes = [
        action
        for action in played(world, 120)
        if isinstance(action, ReturnToRotation | RecordCrash)
    ]
    assert notes == []
    assert sick not in world.instances
    assert len(world.serving()) == 2


def test_a_failing_instance_of_a_sleeping_app_is_not_restarted():
    world = live({WEB: 1})
    (only,) = world.serving()
    fall_sick(world, only)
    observed = replace(
        world.observe(),
        instances=tuple(replace(instance, frozen=True) for instance in world.observe().instances),
    )
    assert not [
        action
        for action in plan(world.desired, observed, world.now + 500).actions
        if isinstance(action, RecordCrash | TakeOutOfRotation)
    ]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_healthy_instances_always_return_to_the_pool_despite_kills(data):
    world = live({WEB: data.draw(st.integers(1, 4)), "worker": 1})
    for _ in range(data.draw(st.integers(1, 12))):
        known = sorted(
            key for key, instance in world.instances.items() if instance.slot.process == WEB
        )
        for key in data.draw(st.sets(st.sampled_from(known))) if known else ():
            world.instances[key].sick_since = (
                world.now if world.instances[key].sick_since is None else None
            )
        world.lives_left = data.draw(st.one_of(st.none(), st.integers(0, 6)))
        played_for = world.now + data.draw(st.floats(1, 60))
        while world.now < played_for:
            try:
                made = world.step()
            except Killed:
                continue
            if not made.actions:
                _check_pool(world)
                world.now += 1.0
    for instance in world.instances.values():
        instance.sick_since = None
    world.run(1200, tick=5.0)
    assert (
        len(world.serving())
        == sum(instance.slot.process == WEB for instance in world.instances.values())
        > 0
    )


def _check_pool(world: World) -> None:
    up = [
        key
        for key, instance in world.instances.items()
        if instance.slot.process == WEB and world.answers(key)
    ]
    failing = {
        key
        for key in up
        if (pulse := world.pulse(world.instances[key])) is not None
        and pulse.failures >= world.health.attempts
    }
    expected = set(up) - failing or set(up)
    assert set(world.serving()) == expected


@pytest.mark.parametrize(
    "check",
    [
        None,
        HealthCheck(),
        HealthCheck(
            kind=CheckKind.COMMAND, command=("/bin/sh", "-c", "true"), interval=2.0, attempts=5
        ),
    ],
)
def test_the_probes_of_an_instance_are_kept_across_a_restart(tmp_path, check):
    known = AppState(marks={"i1": InstanceState(ready_at=5.0, check=check, failing_since=7.0)})
    app_state.save(tmp_path / "app.json", known)
    assert app_state.load(tmp_path / "app.json") == known


def test_only_ready_instances_that_stay_are_probed():
    check = HealthCheck()
    marks = {
        "ready": InstanceState(ready_at=1.0, check=check),
        "worker": InstanceState(ready_at=1.0),
        "draining": InstanceState(ready_at=1.0, check=check, draining_since=2.0),
        "condemned": InstanceState(ready_at=1.0, check=check, condemned=True),
    }
    assert AppState(marks=marks).checks_to_run() == {"ready": check}


def test_probe_results_are_read_as_written_and_damage_reads_as_none(tmp_path):
    path = tmp_path / "pulses" / "app.json"
    assert probe_results.load(path) == {}
    failing = {"i1": ProbeResult(failures=2, at=3.0, trouble="was refused")}
    probe_results.save(path, failing)
    assert probe_results.load(path) == failing
    path.write_text('["no')
    assert probe_results.load(path) == {}
    probe_results.save(path, {})
    assert not path.exists()


def test_slots_of_different_process_types_are_independent():
    world = live({WEB: 1, "worker": 2})
    (only,) = world.serving()
    fall_sick(world, only)
    (buried,) = [action for action in played(world, 95) if isinstance(action, RecordCrash)]
    assert buried.slot == Slot(world.record.serving, WEB, 1)


def test_a_check_that_nobody_chose_is_sent_only_until_the_instance_is_ready():
    world = World(health=HealthCheck(only_until_ready=True))
    world.candidate = world.release(1, counts={WEB: 1})
    world.settle()
    (marks,) = world.record.marks.values()
    assert marks.check == HealthCheck(kind=CheckKind.TCP)


def test_a_chosen_check_is_repeated():
    chosen = HealthCheck(path="/healthz")
    world = World(health=chosen)
    world.candidate = world.release(1, counts={WEB: 1})
    world.settle()
    (marks,) = world.record.marks.values()
    assert marks.check == chosen
