"""The decision to put an app to sleep, and its consequences. Pure.

The first request wakes an app without waiting for a plan (`converge.wake`).
"""

from __future__ import annotations

from dataclasses import replace

from runtime.converge.actions import FreezeInstance, PutToSleep, ThawInstance, WakeApp
from runtime.converge.observed import Asleep, ObservedInstance, Phase
from runtime.converge.planning.groups import web_count
from runtime.converge.planning.instance_health import is_healthy
from runtime.converge.planning.plan_state import PlanState
from runtime.converge.planning.replicas import is_complete


def decide_sleep(state: PlanState) -> PlanState:
    """Decide whether the app falls asleep or wakes, and freeze or thaw its instances."""
    wakes = state.asleep is not None and not _may_sleep(state)
    if wakes:
        state = replace(state, asleep=None)
    elif state.asleep is None and _may_sleep(state):
        state = _fall_asleep(state)
    for instance in state.instances:
        state = _freeze_or_thaw(state, instance)
    if wakes:
        # After thawing: if killed between, it still counts as asleep.
        state = state.marked(WakeApp(at=state.now))
    if state.asleep is not None and state.desired.sleep is not None and not state.stopped:
        state = state.looking_at(state.asleep.since + state.desired.sleep.stop_after)
    return state


def _may_sleep(state: PlanState) -> bool:
    target = state.desired.current
    return (
        state.desired.sleep is not None
        and state.desired.candidate is None
        and target is not None
        and state.moving is None
        and state.serving is not None
        and web_count(target) > 0
        and not (
            state.desired.sleep.workers_keep_awake
            and any(
                process.count
                for process in target.processes
                if process.name not in state.desired.public
            )
        )
    )


def _fall_asleep(state: PlanState) -> PlanState:
    sleep, target, active = state.desired.sleep, state.desired.current, state.observed.active_at
    assert sleep is not None
    assert target is not None
    public = [instance for instance in state.in_service() if instance.public]
    if (
        active is None
        or not is_complete(state, target)
        or any(instance.connections for instance in public)
    ):
        return state
    idle = state.now - max([active, *(instance.marks.ready_at or state.now for instance in public)])
    if idle < sleep.after:
        return state.looking_at(state.now + sleep.after - idle)
    return replace(
        state.marked(PutToSleep(at=state.now, idle=idle)), asleep=Asleep(since=state.now)
    )


def _freeze_or_thaw(state: PlanState, instance: ObservedInstance) -> PlanState:
    if instance.phase is not Phase.RUNNING:
        return state
    if instance.frozen:
        is_to_run = state.asleep is None or not instance.public
        return (
            state.marked(ThawInstance(instance=instance.id, slot=instance.slot))
            if is_to_run
            else state
        )
    sleeps = (
        state.asleep is not None
        and instance.public
        and instance.id not in state.gone
        and is_healthy(instance, state.now)
    )
    if not sleeps or state.stopped:  # it is stopped instead, under the same condition
        return state
    if state.is_quiet(instance):
        return replace(
            state, ends=(*state.ends, FreezeInstance(instance=instance.id, slot=instance.slot))
        )
    return state.waits()  # until the router sends it nothing and its open requests end
