"""Tests that run plans in a simulated world: examples of known situations, Hypothesis for
others.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from runtime.contract.quantities import Bytes
from runtime.converge.actions import RecordCrash, SetLimits, SetRoutes
from runtime.converge.app_state import AppState
from runtime.converge.observed import WEB, Phase
from runtime.converge.planning.plan import OutcomeState, plan
from runtime.converge.strategy import Strategy, StrategyKind
from runtime.router.routes import AppSituation
from tests.runtime.converge.world import DIES, NEVER, SMALL, Killed, Temper, World, live, scaled


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
        assert world.routes.situation in {
            AppSituation.SERVING,
            AppSituation.HOLDING,
        }  # no request is refused
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
    world.current = replace(
        world.current,
        processes=tuple(replace(process, limits=bigger) for process in world.current.processes),
    )
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
    assert {world.instances[key].slot.group.release for key in world.serving()} == {1}
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
        assert {world.instances[key].slot.group.release for key in world.serving()} <= {1, 3}
    world.settle()
    assert {instance.slot.group.release for instance in world.instances.values()} == {3}


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
    assert [
        action.describe() for action in plan(world.desired, world.observe(), since + 30).actions
    ][-1] == "Stop web 1 of v1"
    world.instances[old].connections = 0
    assert [
        action.describe() for action in plan(world.desired, world.observe(), since + 1).actions
    ][-1] == "Stop web 1 of v1"


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
    assert any(text.startswith("Stop the rollout of v2: web 1 of v2") for text in said)
