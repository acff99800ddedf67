"""The consequences of failed health checks of an instance that was ready.

Pure; the supervisor does the checks.

After `attempts` consecutive failures it leaves the pool, if another instance there is healthy.
One success returns it to the pool. After three times `attempts` failures it is restarted.
A restart counts as a crash, and only one instance of a process type restarts at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from runtime.converge.actions import ReturnToRotation, TakeOutOfRotation
from runtime.converge.observed import ObservedInstance, Phase, Slot
from runtime.converge.planning.instance_health import (
    fails_checks,
    health_failure,
    is_given_up,
    is_healthy,
)
from runtime.converge.planning.plan_state import PlanState
from runtime.converge.planning.replicas import ReplicaSet
from runtime.router.routes import Endpoint


def note_failing(state: PlanState) -> PlanState:
    """Record and log the instances that begin or cease to fail their health checks."""
    for instance in state.instances:
        if instance.id in state.draining | state.condemned | state.gone:
            continue  # it is to be stopped and is no longer checked
        since, failing = instance.marks.failing_since, fails_checks(instance, state.now)
        if failing and since is None:
            state = state.marked(
                TakeOutOfRotation(
                    instance=instance.id,
                    slot=instance.slot,
                    at=state.now,
                    reason=health_failure(instance),
                )
            )
        elif not failing and since is not None and instance.phase is Phase.RUNNING:
            state = state.marked(
                ReturnToRotation(
                    instance=instance.id,
                    slot=instance.slot,
                    after=state.now - since,
                    known=instance.pulse is None,
                )
            )
    return state


def choose_restarts(state: PlanState, replicas: Sequence[ReplicaSet]) -> PlanState:
    """Choose at most one instance of each process type to restart.

    The cause may be a database that all of them need. A restart of all at once would not help.
    """
    if state.asleep is not None:
        return state
    filled = {instance.slot: instance for instance in state.in_service()}
    for replica_set in replicas:
        for slots in _by_process(replica_set):
            given_up = [
                filled[slot]
                for slot in slots
                if slot in filled and is_given_up(filled[slot], state.now)
            ]
            if given_up and not any(_is_coming(state, slot, filled.get(slot)) for slot in slots):
                state = replace(state, restarting=state.restarting | {given_up[0].id})
    return state


def pool_of(state: PlanState, endpoints: Sequence[Endpoint]) -> list[Endpoint]:
    """Return `endpoints`, with failing ones set to drain if their pool has a healthy one.

    If a whole pool fails, it keeps its traffic: there is no better choice.
    """
    failing = {instance.id for instance in state.instances if fails_checks(instance, state.now)}
    well = {
        (end.process, end.canary)
        for end in endpoints
        if not end.draining and end.instance not in failing
    }
    return [
        replace(end, draining=True) if end.instance in failing and _has_others(end, well) else end
        for end in endpoints
    ]


def _has_others(end: Endpoint, well: set[tuple[str, bool]]) -> bool:
    """Return whether the endpoint's pool has healthy endpoints.

    The old release can also serve a canary's share; a canary cannot serve the old release's.
    """
    return (end.process, end.canary) in well or (end.process, False) in well


def _by_process(replicas: ReplicaSet) -> Iterator[list[Slot]]:
    for process in replicas.release.processes:
        yield [slot for slot, _ in replicas.slots() if slot.process == process.name]


def _is_coming(state: PlanState, slot: Slot, occupant: ObservedInstance | None) -> bool:
    if occupant is not None:
        return not is_healthy(occupant, state.now)
    return state.free_at(slot) <= state.now
