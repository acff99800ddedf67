"""The plan: the next actions, from the desired and the observed state.

Pure: same arguments, same plan.

One function handles first deploys, rollouts, restarts, scaling, crashes and deletion.
In each case it finds the target group, the serving group, and the difference between them.
Every action may be the last one before a `kill -9`: the next plan starts from the state after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from runtime.contract.health import HealthCheck
from runtime.converge.actions import (
    Action,
    CreateInstance,
    FailCandidate,
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
from runtime.converge.canary_analysis import GroupTraffic, judge
from runtime.converge.desired import DesiredApp, DesiredProcess, DesiredRelease
from runtime.converge.observed import WEB, CanaryStage, Group, ObservedApp, ObservedInstance, Phase, Slot, limits_text
from runtime.converge.planning import backoff
from runtime.converge.planning.idle import settle_sleep
from runtime.converge.planning.liveness import choose_restarts, note_failing
from runtime.converge.planning.plan_builder import Outcome, OutcomeState, Plan, PlanBuilder, group_of, is_given_up, is_healthy, why_it_fails
from runtime.converge.planning.replicas import ReplicaSet, is_complete, replica_sets, slots_of
from runtime.converge.planning.traffic import routes_of
from runtime.converge.strategy import Kind

__all__ = ["Outcome", "OutcomeState", "Plan", "is_healthy", "plan"]


def plan(desired: DesiredApp, observed: ObservedApp, now: float) -> Plan:
    """Return the next actions for one app. `now` and the observed times are unix seconds."""
    if desired.deleted:
        return _plan_removal(observed)
    builder = PlanBuilder(desired=desired, observed=observed, now=now)
    _judge_candidate(builder)
    _mark_ready(builder)
    note_failing(builder)
    _shift(builder)
    _promote(builder)
    settle_sleep(builder)
    replicas = replica_sets(builder)
    choose_restarts(builder, replicas)
    for instance in builder.instances:
        _place_or_dismiss(builder, replicas, instance)
    for replica_set in replicas:
        _fill_places(builder, replica_set)
    _forgive(builder)
    return builder.finish(routes_of(builder))


def _plan_removal(observed: ObservedApp) -> Plan:
    actions: list[Action] = [RemoveRoutes(app=observed.app)] if observed.routes is not None else []
    actions += [StopInstance(instance=instance.id, place=instance.place) for instance in observed.instances]
    return Plan(actions=tuple(actions), outcome=Outcome(state=OutcomeState.NONE))


def _judge_candidate(builder: PlanBuilder) -> None:
    """Decide whether the candidate has failed, now or before.

    Once it serves it can no longer fail: a crash then only causes a restart.
    """
    candidate, verdict = builder.candidate, builder.observed.verdict
    if candidate is None:
        return
    group = group_of(candidate)
    if builder.serving == group:
        return
    if verdict is not None and (verdict.release, verdict.attempt) == (candidate.number, candidate.attempt):
        builder.candidate = None
        builder.outcome = Outcome(state=OutcomeState.FAILED, reason=verdict.reason, rolled_back=verdict.rolled_back)
        return
    members = [instance for instance in builder.instances if instance.place.group == group and instance.id not in builder.condemned]
    reason = next(_failures(builder, candidate, members), None)
    if reason is None:
        builder.outcome = Outcome(state=OutcomeState.PENDING)
        return
    rolled_back = builder.moving is Kind.CANARY and builder.stage is not None
    builder.candidate = None
    builder.outcome = Outcome(state=OutcomeState.FAILED, reason=reason, rolled_back=rolled_back)
    instances = tuple(sorted(instance.id for instance in members))
    builder.marks.append(FailCandidate(group=group, attempt=candidate.attempt, reason=reason, instances=instances, rolled_back=rolled_back))
    builder.condemned.update(instance.id for instance in members)


def _failures(builder: PlanBuilder, candidate: DesiredRelease, members: list[ObservedInstance]) -> Iterator[str]:
    for instance in members:
        if instance.phase is Phase.EXITED:
            yield _finding(instance.place, instance.evidence or "It exited.")
        elif _overdue(instance, candidate, builder.now):
            yield _finding(instance.place, instance.evidence or f"It was not ready within {candidate.boot_seconds:.0f} s.")
        elif is_given_up(instance, builder.now):
            yield f"{instance.place} became ready, and then no longer answered its health check: {why_it_fails(instance)}"
    group = group_of(candidate)
    for place, crashes in sorted(builder.observed.crashes.items()):
        if place.group == group and (not crashes.lost or crashes.count > backoff.AT_ONCE):
            yield _finding(place, crashes.reason)
    if builder.moving is Kind.CANARY and builder.stage is not None and builder.serving is not None:
        watched, rest = builder.observed.traffic.get(group, GroupTraffic()), builder.observed.traffic.get(builder.serving, GroupTraffic())
        if evidence := judge(watched, rest, name=str(group), other=str(builder.serving)):
            yield evidence


def _finding(place: Slot, seen: str) -> str:
    return f"{place} did not become ready. {seen}"


def _overdue(instance: ObservedInstance, release: DesiredRelease, now: float) -> bool:
    started = instance.started_at
    return (
        instance.phase is Phase.RUNNING and not is_healthy(instance, now) and started is not None and now - started >= release.boot_seconds
    )


def _mark_ready(builder: PlanBuilder) -> None:
    """Mark healthy instances as ready, once, and again when a path starts or stops leading to them.

    The health checks of instances that get requests are repeated from then on. Others have none.
    """
    for instance in builder.instances:
        if not is_healthy(instance, builder.now) or instance.id in builder.gone | builder.condemned:
            continue
        check, at = _check_for_life(builder, instance), instance.marks.ready_at
        if at is None or (check is None) != (instance.marks.check is None):
            at = builder.now if at is None else at
            builder.marks.append(
                MarkReady(instance=instance.id, place=instance.place, at=at, after=at - (instance.started_at or at), check=check)
            )


def _check_for_life(builder: PlanBuilder, instance: ObservedInstance) -> HealthCheck | None:
    release = builder.release_of(instance.place.group)
    return (instance.marks.check or (release.health if release is not None else None)) if instance.public else None


def _shift(builder: PlanBuilder) -> None:
    """Give a canary its next share when the last step is over and its instances are healthy."""
    candidate, steps = builder.candidate, builder.desired.strategy.steps
    if builder.moving is not Kind.CANARY or candidate is None:
        return
    step = builder.step
    if (
        step < len(steps)
        and (builder.stage is None or step > builder.stage.step)
        and is_complete(builder, candidate, {WEB: builder.canary_places})
    ):
        builder.stage = CanaryStage(group=group_of(candidate), attempt=candidate.attempt, step=step, since=builder.now)
        percent = steps[step].percent
        builder.marks.append(
            SetCanaryWeight(group=builder.stage.group, attempt=candidate.attempt, step=step, percent=percent, at=builder.now)
        )
    builder.waiting = True


def _promote(builder: PlanBuilder) -> None:
    """Move traffic to the target's group when it is complete.

    The current release takes over at once if the serving group has no healthy instance left.
    """
    current, target = builder.desired.current, builder.target
    if builder.serving is None and current is not None:
        # The first plan of the app, or its state file was lost.
        _switch_to(builder, group_of(current))
    if target is None or builder.serving == group_of(target):
        return
    watched = builder.moving is Kind.CANARY and not builder.may_have_all
    if (is_complete(builder, target) and not watched) or (builder.bereft and target is current):
        _switch_to(builder, group_of(target))


def _switch_to(builder: PlanBuilder, group: Group) -> None:
    is_first = builder.serving is None
    drained = [] if is_first else [instance.id for instance in builder.in_service() if instance.place.group != group]
    builder.marks.append(PromoteGroup(group=group, drained=tuple(sorted(drained)), at=builder.now))
    builder.draining.update(drained)
    builder.serving = group


def _place_or_dismiss(builder: PlanBuilder, replicas: tuple[ReplicaSet, ...], instance: ObservedInstance) -> None:
    """Decide whether an instance fills a slot, drains, or is stopped."""
    if instance.id in builder.gone:
        return
    staffed = _staff_of(replicas, instance)
    if instance.phase is Phase.CREATED:
        _ready_or_half_made(builder, instance, staffed is not None)
    elif instance.id in builder.draining:
        _drain_on(builder, instance)
    elif instance.id in builder.condemned:
        builder.dismiss(instance)
    elif builder.stopped and instance.public:
        _stop_asleep(builder, instance)
    elif staffed is not None:
        _keep(builder, instance, *staffed)
    elif _stands_in(builder, instance):
        pass
    else:
        builder.dismiss(instance)


def _stop_asleep(builder: PlanBuilder, instance: ObservedInstance) -> None:
    """Stop an instance of a sleeping app when it gets no requests and its open ones have ended."""
    if instance.frozen or instance.phase is not Phase.RUNNING or builder.is_quiet(instance):
        builder.retire(instance)
    else:
        builder.waiting = True


def _ready_or_half_made(builder: PlanBuilder, instance: ObservedInstance, staffed: bool) -> None:
    if staffed and builder.stopped and instance.public and instance.place not in builder.occupants:
        builder.occupants[instance.place] = instance
    else:
        builder.retire(instance)


def _stands_in(builder: PlanBuilder, instance: ObservedInstance) -> bool:
    """Return whether an instance must stay until the target is complete.

    Its release is no longer current, so exited instances of it are not replaced, but it still
    serves.
    """
    group = instance.place.group
    known = any(group == staffed for _, staffed in builder.staffed)
    waits = builder.target is not None and builder.desired.strategy.kind is not Kind.RECREATE
    return group == builder.serving and not known and instance.phase is Phase.RUNNING and waits


def _drain_on(builder: PlanBuilder, instance: ObservedInstance) -> None:
    since = instance.marks.draining_since
    unrouted = not builder.routed(instance.id)
    over = since is not None and builder.now - since >= _drain_seconds(builder.desired)
    if instance.phase is not Phase.RUNNING or (unrouted and (over or instance.connections == 0)):
        builder.retire(instance)
    else:
        builder.waiting = True


def _drain_seconds(desired: DesiredApp) -> float:
    release = desired.current or desired.candidate
    return release.drain_seconds if release is not None else 0.0


def _staff_of(replicas: tuple[ReplicaSet, ...], instance: ObservedInstance) -> tuple[DesiredRelease, DesiredProcess] | None:
    return next(((group.release, process) for group in replicas for slot, process in group.places() if slot == instance.place), None)


def _keep(builder: PlanBuilder, instance: ObservedInstance, release: DesiredRelease, process: DesiredProcess) -> None:
    if instance.place in builder.occupants:
        builder.dismiss(instance)
        return
    if instance.phase is not Phase.RUNNING or _overdue(instance, release, builder.now):
        _bury(builder, instance, instance.evidence or "It ended.")
        return
    if instance.id in builder.restarting:
        _bury(builder, instance, f"It no longer answered its health check: {why_it_fails(instance)}")
        return
    builder.occupants[instance.place] = instance
    if instance.limits != process.limits and instance.marks.refused != limits_text(process.limits):
        builder.starts.append(SetLimits(instance=instance.id, place=instance.place, limits=process.limits))
    if not is_healthy(instance, builder.now):
        builder.waiting = True


def _bury(builder: PlanBuilder, instance: ObservedInstance, reason: str) -> None:
    crashes = builder.observed.crashes.get(instance.place)
    if crashes is not None and crashes.instance == instance.id:
        builder.retire(instance)  # already counted: this process was killed before the removal
        return
    at = instance.exited_at if instance.exited_at is not None else builder.now
    builder.ends.append(RecordCrash(instance=instance.id, place=instance.place, at=at, reason=reason, lost=instance.phase is Phase.LOST))
    builder.gone.add(instance.id)
    # The slot is free only after the instance is removed.
    builder.occupants[instance.place] = instance


def _fill_places(builder: PlanBuilder, replicas: ReplicaSet) -> None:
    apart = builder.desired.strategy.kind is Kind.RECREATE
    if apart and any(instance.place.group != replicas.group for instance in builder.instances):
        builder.waiting = True  # until no old instance is left that could write the same data
        return
    for place, process in replicas.places():
        if place in builder.occupants:
            continue
        free_at = builder.free_at(place)
        if builder.stopped and process.name in builder.desired.public:
            builder.starts.append(
                CreateInstance(place=place, release=replace(replicas.release, generation=replicas.group.generation), process=process)
            )
        elif free_at <= builder.now:
            builder.starts.append(
                StartInstance(place=place, release=replace(replicas.release, generation=replicas.group.generation), process=process)
            )
        else:
            builder.look_at(free_at)


def _forgive(builder: PlanBuilder) -> None:
    wanted = {place for release, group in builder.staffed for place in slots_of(release, group)}
    for place in sorted(builder.observed.crashes):
        occupant = builder.occupants.get(place)
        ready_at = occupant.marks.ready_at if occupant is not None and occupant.id not in builder.gone else None
        failing = occupant is not None and occupant.pulse is not None
        # A container that is created but not started has no health. Its crashes count as old when
        # the last one is long ago.
        rests = occupant is not None and occupant.phase is Phase.CREATED
        well_since = builder.observed.crashes[place].at if rests else ready_at
        if place not in wanted or (well_since is not None and not failing and builder.now - well_since >= backoff.CLEARED_AFTER):
            builder.marks.append(ResetBackoff(place=place))
