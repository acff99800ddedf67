"""The plan: the next actions, from the desired and the observed state.

Pure: same arguments, same plan.

One function handles first deploys, rollouts, restarts, scaling, crashes and deletion.
In each case it finds the target group, the serving group, and the difference between them.
Every action may be the last one before a `kill -9`: the next plan starts from the state after it.
"""

from __future__ import annotations

from dataclasses import replace

from runtime.contract.health import HealthCheck
from runtime.converge.actions import (
    Action,
    CreateInstance,
    MarkReady,
    PromoteGroup,
    RecordCrash,
    RemoveRoutes,
    ResetBackoff,
    SetCanaryWeight,
    SetLimits,
    StartInstance,
    StopInstance,
)
from runtime.converge.desired import DesiredApp, DesiredProcess, DesiredRelease
from runtime.converge.observed import (
    WEB,
    CanaryStage,
    Group,
    ObservedApp,
    ObservedInstance,
    Phase,
    limits_text,
)
from runtime.converge.planning import backoff
from runtime.converge.planning.candidate import judge_candidate
from runtime.converge.planning.groups import group_of
from runtime.converge.planning.idle import decide_sleep
from runtime.converge.planning.instance_health import health_failure, is_healthy, is_overdue
from runtime.converge.planning.liveness import choose_restarts, note_failing
from runtime.converge.planning.plan_state import Outcome, OutcomeState, Plan, PlanState
from runtime.converge.planning.replicas import ReplicaSet, is_complete, replica_sets, slots_of
from runtime.converge.planning.traffic import routes_of
from runtime.converge.strategy import StrategyKind

__all__ = ["Outcome", "OutcomeState", "Plan", "is_healthy", "plan"]


def plan(desired: DesiredApp, observed: ObservedApp, now: float) -> Plan:
    """Return the next actions for one app. `now` and the observed times are unix seconds."""
    if desired.deleted:
        return _plan_removal(observed)
    state = PlanState.begin(desired, observed, now)
    state = judge_candidate(state)
    state = _mark_ready(state)
    state = note_failing(state)
    state = _advance_canary(state)
    state = _promote(state)
    state = decide_sleep(state)
    replicas = replica_sets(state)
    state = choose_restarts(state, replicas)
    for instance in state.instances:
        state = _place_or_dismiss(state, replicas, instance)
    for replica_set in replicas:
        state = _fill_slots(state, replica_set)
    state = _reset_backoffs(state)
    routes, state = routes_of(state)
    return state.finish(routes)


def _plan_removal(observed: ObservedApp) -> Plan:
    actions: list[Action] = [RemoveRoutes(app=observed.app)] if observed.routes is not None else []
    actions += [
        StopInstance(instance=instance.id, slot=instance.slot) for instance in observed.instances
    ]
    return Plan(actions=tuple(actions), outcome=Outcome(state=OutcomeState.NONE))


def _mark_ready(state: PlanState) -> PlanState:
    """Mark healthy instances as ready, once, and again when a path starts or stops leading to them.

    The health checks of instances that get requests are repeated from then on. Others have none.
    """
    for instance in state.instances:
        if not is_healthy(instance, state.now) or instance.id in state.gone | state.condemned:
            continue
        check, at = _liveness_check_of(state, instance), instance.marks.ready_at
        if at is None or (check is None) != (instance.marks.check is None):
            at = state.now if at is None else at
            after = at - (instance.started_at or at)
            state = state.marked(
                MarkReady(instance=instance.id, slot=instance.slot, at=at, after=after, check=check)
            )
    return state


def _liveness_check_of(state: PlanState, instance: ObservedInstance) -> HealthCheck | None:
    release = state.release_of(instance.slot.group)
    return (
        (instance.marks.check or (release.health.of_ready if release is not None else None))
        if instance.public
        else None
    )


def _advance_canary(state: PlanState) -> PlanState:
    """Give a canary its next share when the last step is over and its instances are healthy."""
    candidate, steps = state.candidate, state.desired.strategy.steps
    if state.moving is not StrategyKind.CANARY or candidate is None:
        return state
    step = state.step
    is_next = step < len(steps) and (state.stage is None or step > state.stage.step)
    if not is_next or not is_complete(state, candidate, {WEB: state.canary_count}):
        return state.waits()
    stage = CanaryStage(
        group=group_of(candidate), attempt=candidate.attempt, step=step, since=state.now
    )
    weight = SetCanaryWeight(
        group=stage.group,
        attempt=stage.attempt,
        step=step,
        percent=steps[step].percent,
        at=state.now,
    )
    return replace(state.marked(weight), stage=stage, waiting=True)


def _promote(state: PlanState) -> PlanState:
    """Move traffic to the target's group when it is complete.

    The current release takes over at once if the serving group has no healthy instance left.
    """
    current, target = state.desired.current, state.target
    if state.serving is None and current is not None:
        # The first plan of the app, or its state file was lost.
        state = _switch_to(state, group_of(current))
    if target is None or state.serving == group_of(target):
        return state
    watched = state.moving is StrategyKind.CANARY and not state.may_have_all
    if (is_complete(state, target) and not watched) or (
        state.serving_is_down and target is current
    ):
        state = _switch_to(state, group_of(target))
    return state


def _switch_to(state: PlanState, group: Group) -> PlanState:
    is_first = state.serving is None
    drained = (
        []
        if is_first
        else [instance.id for instance in state.in_service() if instance.slot.group != group]
    )
    promoted = state.marked(PromoteGroup(group=group, drained=tuple(sorted(drained)), at=state.now))
    return replace(promoted, draining=state.draining.union(drained), serving=group)


def _place_or_dismiss(
    state: PlanState, replicas: tuple[ReplicaSet, ...], instance: ObservedInstance
) -> PlanState:
    """Decide whether an instance fills a slot, drains, or is stopped."""
    if instance.id in state.gone:
        return state
    wanted = _slot_of(replicas, instance)
    if instance.phase is Phase.CREATED:
        return _keep_created(state, instance, wanted is not None)
    if instance.id in state.draining:
        return _drain_on(state, instance)
    if instance.id in state.condemned:
        return state.dismissed(instance)
    if state.stopped and instance.public:
        return _stop_asleep(state, instance)
    if wanted is not None:
        return _keep(state, instance, *wanted)
    return state if _must_stay(state, instance) else state.dismissed(instance)


def _stop_asleep(state: PlanState, instance: ObservedInstance) -> PlanState:
    """Stop an instance of a sleeping app when it gets no requests and its open ones have ended."""
    if instance.frozen or instance.phase is not Phase.RUNNING or state.is_quiet(instance):
        return state.retired(instance)
    return state.waits()


def _keep_created(state: PlanState, instance: ObservedInstance, wanted: bool) -> PlanState:
    """Keep a container that is ready to be woken. Remove one that was left half-made."""
    if wanted and state.stopped and instance.public and instance.slot not in state.occupants:
        return state.occupied(instance)
    return state.retired(instance)


def _must_stay(state: PlanState, instance: ObservedInstance) -> bool:
    """Return whether an instance must stay until the target is complete.

    Its release is no longer current, so exited instances of it are not replaced, but it still
    serves.
    """
    group = instance.slot.group
    known = any(group == staffed for _, staffed in state.groups_to_keep)
    waits = state.target is not None and state.desired.strategy.kind is not StrategyKind.RECREATE
    return group == state.serving and not known and instance.phase is Phase.RUNNING and waits


def _drain_on(state: PlanState, instance: ObservedInstance) -> PlanState:
    since = instance.marks.draining_since
    unrouted = not state.routed(instance.id)
    over = since is not None and state.now - since >= _drain_seconds(state.desired)
    if instance.phase is not Phase.RUNNING or (unrouted and (over or instance.connections == 0)):
        return state.retired(instance)
    return state.waits()


def _drain_seconds(desired: DesiredApp) -> float:
    release = desired.current or desired.candidate
    return release.drain_seconds if release is not None else 0.0


def _slot_of(
    replicas: tuple[ReplicaSet, ...], instance: ObservedInstance
) -> tuple[DesiredRelease, DesiredProcess] | None:
    return next(
        (
            (group.release, process)
            for group in replicas
            for slot, process in group.slots()
            if slot == instance.slot
        ),
        None,
    )


def _keep(
    state: PlanState, instance: ObservedInstance, release: DesiredRelease, process: DesiredProcess
) -> PlanState:
    if instance.slot in state.occupants:
        return state.dismissed(instance)
    if instance.phase is not Phase.RUNNING or is_overdue(instance, release, state.now):
        return _record_crash(state, instance, instance.evidence or "It ended.")
    if instance.id in state.restarting:
        return _record_crash(
            state, instance, f"It no longer answered its health check: {health_failure(instance)}"
        )
    state = state.occupied(instance)
    if instance.limits != process.limits and instance.marks.refused != limits_text(process.limits):
        state = state.started(
            SetLimits(instance=instance.id, slot=instance.slot, limits=process.limits)
        )
    return state if is_healthy(instance, state.now) else state.waits()


def _record_crash(state: PlanState, instance: ObservedInstance, reason: str) -> PlanState:
    crashes = state.observed.crashes.get(instance.slot)
    if crashes is not None and crashes.instance == instance.id:
        return state.retired(
            instance
        )  # already counted: this process was killed before the removal
    at = instance.exited_at if instance.exited_at is not None else state.now
    crash = RecordCrash(
        instance=instance.id,
        slot=instance.slot,
        at=at,
        reason=reason,
        lost=instance.phase is Phase.LOST,
    )
    # The slot is free only after the instance is removed.
    return state.removed(instance, crash).occupied(instance)


def _fill_slots(state: PlanState, replicas: ReplicaSet) -> PlanState:
    apart = state.desired.strategy.kind is StrategyKind.RECREATE
    if apart and any(instance.slot.group != replicas.group for instance in state.instances):
        return state.waits()  # until no old instance is left that could write the same data
    release = replace(replicas.release, generation=replicas.group.generation)
    for slot, process in replicas.slots():
        if slot in state.occupants:
            continue
        free_at = state.free_at(slot)
        if state.stopped and process.name in state.desired.public:
            state = state.started(CreateInstance(slot=slot, release=release, process=process))
        elif free_at <= state.now:
            state = state.started(StartInstance(slot=slot, release=release, process=process))
        else:
            state = state.looking_at(free_at)
    return state


def _reset_backoffs(state: PlanState) -> PlanState:
    wanted = {slot for release, group in state.groups_to_keep for slot in slots_of(release, group)}
    for slot in sorted(state.observed.crashes):
        occupant = state.occupants.get(slot)
        ready_at = (
            occupant.marks.ready_at
            if occupant is not None and occupant.id not in state.gone
            else None
        )
        failing = occupant is not None and occupant.pulse is not None
        # A container that is created but not started has no health. Its crashes count as old when
        # the last one is long ago.
        rests = occupant is not None and occupant.phase is Phase.CREATED
        well_since = state.observed.crashes[slot].at if rests else ready_at
        if slot not in wanted or (
            well_since is not None
            and not failing
            and state.now - well_since >= backoff.CLEARED_AFTER
        ):
            state = state.marked(ResetBackoff(slot=slot))
    return state
