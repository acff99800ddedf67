"""From what is wanted and what runs to the next actions. Pure: the same three arguments give the same plan.

One function does first deploys, rollouts, restarts, scaling, crashes and deletion, because each is the same question:
which group of instances is the target, which one serves, and what is missing between the two. Every action may be the
last one before a `kill -9`: the next plan starts from what is then true.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from runtime.contract.health import HealthCheck
from runtime.converge.actions import (
    Action,
    Bury,
    Condemn,
    Forgive,
    Launch,
    MakeReady,
    MarkReady,
    Promote,
    RemoveRoutes,
    Retire,
    SetLimits,
    Shift,
)
from runtime.converge.canary_analysis import Traffic, judge
from runtime.converge.desired import DesiredApp, DesiredProcess, DesiredRelease
from runtime.converge.observed import WEB, Group, ObservedApp, ObservedInstance, Phase, Place, Stage, limits_text
from runtime.converge.planning import backoff
from runtime.converge.planning.idle import settle_sleep
from runtime.converge.planning.liveness import choose_restarts, note_failing
from runtime.converge.planning.plan_builder import Draft, Outcome, OutcomeState, Plan, group_of, healthy, is_given_up, why_it_fails
from runtime.converge.planning.replicas import Staff, places_of, staff, whole
from runtime.converge.planning.traffic import routes_of
from runtime.converge.strategy import Kind

__all__ = ["Outcome", "OutcomeState", "Plan", "healthy", "plan"]


def plan(desired: DesiredApp, observed: ObservedApp, now: float) -> Plan:
    """The next actions for one app. `now` is in unix seconds, as are the observed times."""
    if desired.deleted:
        return _plan_removal(observed)
    draft = Draft(desired=desired, observed=observed, now=now)
    _judge_candidate(draft)
    _mark_ready(draft)
    note_failing(draft)
    _shift(draft)
    _promote(draft)
    settle_sleep(draft)
    staffs = staff(draft)
    choose_restarts(draft, staffs)
    for instance in draft.instances:
        _place_or_dismiss(draft, staffs, instance)
    for one in staffs:
        _fill_places(draft, one)
    _forgive(draft)
    return draft.finish(routes_of(draft))


def _plan_removal(observed: ObservedApp) -> Plan:
    actions: list[Action] = [RemoveRoutes(app=observed.app)] if observed.routes is not None else []
    actions += [Retire(instance=instance.id, place=instance.place) for instance in observed.instances]
    return Plan(actions=tuple(actions), outcome=Outcome(state=OutcomeState.NONE))


def _judge_candidate(draft: Draft) -> None:
    """Has the candidate failed, now or before? Once it serves it is judged no more: its crashes are restarts then."""
    candidate, verdict = draft.candidate, draft.observed.verdict
    if candidate is None:
        return
    group = group_of(candidate)
    if draft.serving == group:
        return
    if verdict is not None and (verdict.release, verdict.attempt) == (candidate.number, candidate.attempt):
        draft.candidate = None
        draft.outcome = Outcome(state=OutcomeState.FAILED, reason=verdict.reason, rolled_back=verdict.rolled_back)
        return
    members = [one for one in draft.instances if one.place.group == group and one.id not in draft.condemned]
    reason = next(_failures(draft, candidate, members), None)
    if reason is None:
        draft.outcome = Outcome(state=OutcomeState.PENDING)
        return
    rolled_back = draft.moving is Kind.CANARY and draft.stage is not None
    draft.candidate = None
    draft.outcome = Outcome(state=OutcomeState.FAILED, reason=reason, rolled_back=rolled_back)
    instances = tuple(sorted(one.id for one in members))
    draft.marks.append(Condemn(group=group, attempt=candidate.attempt, reason=reason, instances=instances, rolled_back=rolled_back))
    draft.condemned.update(one.id for one in members)


def _failures(draft: Draft, candidate: DesiredRelease, members: list[ObservedInstance]) -> Iterator[str]:
    for one in members:
        if one.phase is Phase.EXITED:
            yield _finding(one.place, one.evidence or "It exited.")
        elif _overdue(one, candidate, draft.now):
            yield _finding(one.place, one.evidence or f"It was not ready within {candidate.boot_seconds:.0f} s.")
        elif is_given_up(one, draft.now):
            yield f"{one.place} became ready, and then no longer answered its health check: {why_it_fails(one)}"
    group = group_of(candidate)
    for place, crashes in sorted(draft.observed.crashes.items()):
        if place.group == group and (not crashes.lost or crashes.count > backoff.AT_ONCE):
            yield _finding(place, crashes.reason)
    if draft.moving is Kind.CANARY and draft.stage is not None and draft.serving is not None:
        watched, rest = draft.observed.traffic.get(group, Traffic()), draft.observed.traffic.get(draft.serving, Traffic())
        if evidence := judge(watched, rest, who=str(group), beside=str(draft.serving)):
            yield evidence


def _finding(place: Place, seen: str) -> str:
    return f"{place} did not become ready. {seen}"


def _overdue(instance: ObservedInstance, release: DesiredRelease, now: float) -> bool:
    started = instance.started_at
    return instance.phase is Phase.RUNNING and not healthy(instance, now) and started is not None and now - started >= release.boot_seconds


def _mark_ready(draft: Draft) -> None:
    """Once, and again when a path begins or ends to lead to it: what gets requests is asked for its health from then on, and nothing else."""
    for one in draft.instances:
        if not healthy(one, draft.now) or one.id in draft.gone | draft.condemned:
            continue
        check, at = _check_for_life(draft, one), one.marks.ready_at
        if at is None or (check is None) != (one.marks.check is None):
            at = draft.now if at is None else at
            draft.marks.append(MarkReady(instance=one.id, place=one.place, at=at, after=at - (one.started_at or at), check=check))


def _check_for_life(draft: Draft, one: ObservedInstance) -> HealthCheck | None:
    release = draft.release_of(one.place.group)
    return (one.marks.check or (release.health if release is not None else None)) if one.public else None


def _shift(draft: Draft) -> None:
    """Give a canary its next share, once the instances for it are healthy and the last was watched long enough."""
    candidate, steps = draft.candidate, draft.desired.strategy.steps
    if draft.moving is not Kind.CANARY or candidate is None:
        return
    step = draft.step
    if step < len(steps) and (draft.stage is None or step > draft.stage.step) and whole(draft, candidate, {WEB: draft.canary_places}):
        draft.stage = Stage(group=group_of(candidate), attempt=candidate.attempt, step=step, since=draft.now)
        percent = steps[step].percent
        draft.marks.append(Shift(group=draft.stage.group, attempt=candidate.attempt, step=step, percent=percent, at=draft.now))
    draft.waiting = True


def _promote(draft: Draft) -> None:
    """Move traffic to the target's group when it is whole; a group that nothing serves beside takes over at once."""
    current, target = draft.desired.current, draft.target
    if draft.serving is None and current is not None:
        _switch_to(draft, group_of(current))  # a first look, or the notes were lost
    if target is None or draft.serving == group_of(target):
        return
    watched = draft.moving is Kind.CANARY and not draft.may_have_all
    if (whole(draft, target) and not watched) or (draft.bereft and target is current):
        _switch_to(draft, group_of(target))


def _switch_to(draft: Draft, group: Group) -> None:
    first_look = draft.serving is None
    drained = [] if first_look else [one.id for one in draft.in_service() if one.place.group != group]
    draft.marks.append(Promote(group=group, drained=tuple(sorted(drained)), at=draft.now))
    draft.draining.update(drained)
    draft.serving = group


def _place_or_dismiss(draft: Draft, staffs: tuple[Staff, ...], instance: ObservedInstance) -> None:
    """Each instance either fills a place, or drains, or leaves."""
    if instance.id in draft.gone:
        return
    staffed = _staff_of(staffs, instance)
    if instance.phase is Phase.CREATED:
        _ready_or_half_made(draft, instance, staffed is not None)
    elif instance.id in draft.draining:
        _drain_on(draft, instance)
    elif instance.id in draft.condemned:
        draft.dismiss(instance)
    elif draft.stopped and instance.public:
        _stop_asleep(draft, instance)
    elif staffed is not None:
        _keep(draft, instance, *staffed)
    elif _stands_in(draft, instance):
        pass
    else:
        draft.dismiss(instance)


def _stop_asleep(draft: Draft, instance: ObservedInstance) -> None:
    """Not before the router sends it nothing, and what slipped in until then is answered."""
    if instance.frozen or instance.phase is not Phase.RUNNING or draft.is_quiet(instance):
        draft.retire(instance)
    else:
        draft.waiting = True


def _ready_or_half_made(draft: Draft, instance: ObservedInstance, staffed: bool) -> None:
    if staffed and draft.stopped and instance.public and instance.place not in draft.occupants:
        draft.occupants[instance.place] = instance
    else:
        draft.retire(instance)


def _stands_in(draft: Draft, instance: ObservedInstance) -> bool:
    """Of a release that is no longer current and so not kept at strength, but all there is until the target is whole."""
    group = instance.place.group
    known = any(group == staffed for _, staffed in draft.staffed)
    waits = draft.target is not None and draft.desired.strategy.kind is not Kind.RECREATE
    return group == draft.serving and not known and instance.phase is Phase.RUNNING and waits


def _drain_on(draft: Draft, instance: ObservedInstance) -> None:
    since = instance.marks.draining_since
    told = not draft.routed(instance.id)
    over = since is not None and draft.now - since >= _drain_seconds(draft.desired)
    if instance.phase is not Phase.RUNNING or (told and (over or instance.connections == 0)):
        draft.retire(instance)
    else:
        draft.waiting = True


def _drain_seconds(desired: DesiredApp) -> float:
    release = desired.current or desired.candidate
    return release.drain_seconds if release is not None else 0.0


def _staff_of(staffs: tuple[Staff, ...], instance: ObservedInstance) -> tuple[DesiredRelease, DesiredProcess] | None:
    return next(((one.release, process) for one in staffs for place, process in one.places() if place == instance.place), None)


def _keep(draft: Draft, instance: ObservedInstance, release: DesiredRelease, process: DesiredProcess) -> None:
    if instance.place in draft.occupants:
        draft.dismiss(instance)
        return
    if instance.phase is not Phase.RUNNING or _overdue(instance, release, draft.now):
        _bury(draft, instance, instance.evidence or "It ended.")
        return
    if instance.id in draft.restarting:
        _bury(draft, instance, f"It no longer answered its health check: {why_it_fails(instance)}")
        return
    draft.occupants[instance.place] = instance
    if instance.limits != process.limits and instance.marks.refused != limits_text(process.limits):
        draft.starts.append(SetLimits(instance=instance.id, place=instance.place, limits=process.limits))
    if not healthy(instance, draft.now):
        draft.waiting = True


def _bury(draft: Draft, instance: ObservedInstance, reason: str) -> None:
    crashes = draft.observed.crashes.get(instance.place)
    if crashes is not None and crashes.instance == instance.id:
        draft.retire(instance)  # counted already, and we were killed before it was removed
        return
    at = instance.exited_at if instance.exited_at is not None else draft.now
    draft.ends.append(Bury(instance=instance.id, place=instance.place, at=at, reason=reason, lost=instance.phase is Phase.LOST))
    draft.gone.add(instance.id)
    draft.occupants[instance.place] = instance  # the place is free when it is buried, not before


def _fill_places(draft: Draft, staff: Staff) -> None:
    apart = draft.desired.strategy.kind is Kind.RECREATE
    if apart and any(one.place.group != staff.group for one in draft.instances):
        draft.waiting = True  # until nothing else is there that might write what the new one writes
        return
    for place, process in staff.places():
        if place in draft.occupants:
            continue
        free_at = draft.free_at(place)
        if draft.stopped and process.name in draft.desired.public:
            draft.starts.append(MakeReady(place=place, release=replace(staff.release, generation=staff.group.generation), process=process))
        elif free_at <= draft.now:
            draft.starts.append(Launch(place=place, release=replace(staff.release, generation=staff.group.generation), process=process))
        else:
            draft.look_at(free_at)


def _forgive(draft: Draft) -> None:
    wanted = {place for release, group in draft.staffed for place in places_of(release, group)}
    for place in sorted(draft.observed.crashes):
        occupant = draft.occupants.get(place)
        ready_at = occupant.marks.ready_at if occupant is not None and occupant.id not in draft.gone else None
        failing = occupant is not None and occupant.pulse is not None
        # What is only kept ready says nothing of itself, for or against: the last crash is too long ago to tell of it.
        rests = occupant is not None and occupant.phase is Phase.CREATED
        well_since = draft.observed.crashes[place].at if rests else ready_at
        if place not in wanted or (well_since is not None and not failing and draft.now - well_since >= backoff.CLEARED_AFTER):
            draft.marks.append(Forgive(place=place))
