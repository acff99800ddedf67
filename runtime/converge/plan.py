"""From what is wanted and what runs to the next actions. Pure: the same three arguments give the same plan.

One function does first deploys, rollouts, restarts, scaling, crashes and deletion, because each is the same question:
which group of instances is the target, which one serves, and what is missing between the two. Every action may be the
last one before a `kill -9`: the next plan starts from what is then true.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from runtime.converge import backoff
from runtime.converge.actions import (
    Action,
    Bury,
    Condemn,
    Forgive,
    Launch,
    MarkReady,
    Promote,
    RemoveRoutes,
    Retire,
    SetLimits,
)
from runtime.converge.desired import DesiredApp, DesiredProcess, DesiredRelease
from runtime.converge.draft import Draft, Outcome, OutcomeState, Plan, group_of, healthy
from runtime.converge.observed import WEB, Group, ObservedApp, ObservedInstance, Phase, Place, limits_text
from runtime.router.table import AppRoutes, AppSituation, Endpoint

__all__ = ["Outcome", "OutcomeState", "Plan", "healthy", "plan"]


def plan(desired: DesiredApp, observed: ObservedApp, now: float) -> Plan:
    """The next actions for one app. `now` is in unix seconds, as are the observed times."""
    if desired.deleted:
        return _plan_removal(observed)
    draft = Draft(desired=desired, observed=observed, now=now)
    _judge_candidate(draft)
    _mark_ready(draft)
    _promote(draft)
    for instance in draft.instances:
        _place_or_dismiss(draft, instance)
    for release, group in draft.staffed:
        _fill_places(draft, release, group)
    _forgive(draft)
    routes = _routes(draft)
    return draft.finish(routes)


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
        draft.outcome = Outcome(state=OutcomeState.FAILED, reason=verdict.reason)
        return
    members = [one for one in draft.instances if one.place.group == group and not one.marks.condemned]
    reason = next(_failures(draft, candidate, members), None)
    if reason is None:
        draft.outcome = Outcome(state=OutcomeState.PENDING)
        return
    draft.candidate = None
    draft.outcome = Outcome(state=OutcomeState.FAILED, reason=reason)
    draft.marks.append(Condemn(group=group, attempt=candidate.attempt, reason=reason, instances=tuple(sorted(one.id for one in members))))
    for member in members:
        draft.retire(member)


def _failures(draft: Draft, candidate: DesiredRelease, members: list[ObservedInstance]) -> Iterator[str]:
    for one in members:
        if one.phase is Phase.EXITED:
            yield _finding(one.place, one.evidence or "It exited.")
        elif _overdue(one, candidate, draft.now):
            yield _finding(one.place, one.evidence or f"It was not ready within {candidate.boot_seconds:.0f} s.")
    group = group_of(candidate)
    for place, crashes in sorted(draft.observed.crashes.items()):
        if place.group == group and (not crashes.lost or crashes.count > backoff.AT_ONCE):
            yield _finding(place, crashes.reason)


def _finding(place: Place, seen: str) -> str:
    return f"{place} did not become ready. {seen}"


def _overdue(instance: ObservedInstance, release: DesiredRelease, now: float) -> bool:
    started = instance.started_at
    return instance.phase is Phase.RUNNING and not healthy(instance, now) and started is not None and now - started >= release.boot_seconds


def _mark_ready(draft: Draft) -> None:
    for one in draft.instances:
        if healthy(one, draft.now) and one.marks.ready_at is None and not one.marks.condemned and one.id not in draft.gone:
            after = draft.now - (one.started_at or draft.now)
            draft.marks.append(MarkReady(instance=one.id, place=one.place, at=draft.now, after=after))


def _promote(draft: Draft) -> None:
    """Move traffic to the target's group when it is whole; a group that nothing serves beside takes over at once."""
    current, target = draft.desired.current, draft.target
    if draft.serving is None and current is not None:
        _switch_to(draft, group_of(current))  # a first look, or the notes were lost
    if target is None or draft.serving == group_of(target):
        return
    bereft = not any(one.place.group == draft.serving and healthy(one, draft.now) for one in _in_service(draft))
    if _whole(draft, target) or (bereft and target is current):
        _switch_to(draft, group_of(target))


def _switch_to(draft: Draft, group: Group) -> None:
    first_look = draft.serving is None
    drained = [] if first_look else [one.id for one in _in_service(draft) if one.place.group != group]
    draft.marks.append(Promote(group=group, drained=tuple(sorted(drained)), at=draft.now))
    draft.draining.update(drained)
    draft.serving = group


def _in_service(draft: Draft) -> list[ObservedInstance]:
    """Running, and on nobody's way out."""
    return [
        one
        for one in draft.instances
        if one.phase is Phase.RUNNING and not one.marks.condemned and one.id not in draft.gone | draft.draining
    ]


def _whole(draft: Draft, release: DesiredRelease) -> bool:
    filled = {one.place for one in _in_service(draft) if healthy(one, draft.now)}
    return all(place in filled for place, _ in _places(release, group_of(release)))


def _places(release: DesiredRelease, group: Group) -> Iterator[tuple[Place, DesiredProcess]]:
    for process in release.processes:
        for number in range(1, process.count + 1):
            yield Place(group, process.name, number), process


def _place_or_dismiss(draft: Draft, instance: ObservedInstance) -> None:
    """Each instance either fills a place, or drains, or leaves."""
    if instance.id in draft.gone:
        return
    if instance.marks.condemned or instance.phase is Phase.CREATED:
        draft.retire(instance)
    elif instance.id in draft.draining:
        _drain_on(draft, instance)
    elif (staffed := _staff_of(draft, instance)) is not None:
        _keep(draft, instance, *staffed)
    elif _stands_in(draft, instance):
        pass
    else:
        draft.dismiss(instance)


def _stands_in(draft: Draft, instance: ObservedInstance) -> bool:
    """Of a release that is no longer current and so not kept at strength, but all there is until the target is whole."""
    group = instance.place.group
    known = any(group == staffed for _, staffed in draft.staffed)
    return group == draft.serving and not known and instance.phase is Phase.RUNNING and draft.target is not None


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


def _staff_of(draft: Draft, instance: ObservedInstance) -> tuple[DesiredRelease, DesiredProcess] | None:
    for release, group in draft.staffed:
        if instance.place.group == group:
            for process in release.processes:
                if process.name == instance.place.process and instance.place.number <= process.count:
                    return release, process
    return None


def _keep(draft: Draft, instance: ObservedInstance, release: DesiredRelease, process: DesiredProcess) -> None:
    if instance.place in draft.occupants:
        draft.dismiss(instance)
        return
    if instance.phase is not Phase.RUNNING or _overdue(instance, release, draft.now):
        _bury(draft, instance)
        return
    draft.occupants[instance.place] = instance
    if instance.limits != process.limits and instance.marks.refused != limits_text(process.limits):
        draft.starts.append(SetLimits(instance=instance.id, place=instance.place, limits=process.limits))
    if not healthy(instance, draft.now):
        draft.waiting = True


def _bury(draft: Draft, instance: ObservedInstance) -> None:
    crashes = draft.observed.crashes.get(instance.place)
    if crashes is not None and crashes.instance == instance.id:
        draft.retire(instance)  # counted already, and we were killed before it was removed
        return
    at = instance.exited_at if instance.exited_at is not None else draft.now
    draft.ends.append(
        Bury(instance=instance.id, place=instance.place, at=at, reason=instance.evidence or "It ended.", lost=instance.phase is Phase.LOST)
    )
    draft.gone.add(instance.id)
    draft.occupants[instance.place] = instance  # the place is free when it is buried, not before


def _fill_places(draft: Draft, release: DesiredRelease, group: Group) -> None:
    for place, process in _places(release, group):
        if place in draft.occupants:
            continue
        crashes = draft.observed.crashes.get(place)
        free_at = crashes.at + backoff.delay(crashes.count) if crashes is not None else draft.now
        if free_at <= draft.now:
            draft.starts.append(Launch(place=place, release=replace(release, generation=group.generation), process=process))
        else:
            draft.look_at(free_at)


def _forgive(draft: Draft) -> None:
    wanted = {place for release, group in draft.staffed for place, _ in _places(release, group)}
    for place in sorted(draft.observed.crashes):
        occupant = draft.occupants.get(place)
        ready_at = occupant.marks.ready_at if occupant is not None and occupant.id not in draft.gone else None
        if place not in wanted or (ready_at is not None and draft.now - ready_at >= backoff.CLEARED_AFTER):
            draft.marks.append(Forgive(place=place))


def _routes(draft: Draft) -> AppRoutes:
    """What the router is to know. Also settles whether the candidate is live: when the router was told so."""
    endpoints: list[Endpoint] = []
    for one in sorted(draft.instances, key=lambda one: one.id):
        if one.id in draft.gone or one.place.process != WEB or one.phase is not Phase.RUNNING:
            continue
        if one.id in draft.draining:
            if draft.known_to_router(one.id):
                endpoints.append(Endpoint(instance=one.id, address=one.address, port=one.port, draining=True))
        elif one.place.group == draft.serving and healthy(one, draft.now):
            endpoints.append(Endpoint(instance=one.id, address=one.address, port=one.port))
    routes = AppRoutes(app=draft.desired.app, hosts=draft.desired.hosts, endpoints=tuple(endpoints), situation=_situation(draft, endpoints))
    if draft.candidate is not None and draft.observed.serving == group_of(draft.candidate):
        told = routes == draft.observed.routes
        draft.outcome = Outcome(state=OutcomeState.LIVE if told else OutcomeState.PENDING)
    return routes


def _situation(draft: Draft, endpoints: list[Endpoint]) -> AppSituation:
    if any(not endpoint.draining for endpoint in endpoints):
        return AppSituation.SERVING
    if draft.serving is None or draft.target is None:
        return AppSituation.NOT_DEPLOYED
    crashed = any(place.group == draft.serving and place.process == WEB for place in draft.observed.crashes)
    buried = any(
        one.place.group == draft.serving and one.place.process == WEB and one.id in draft.gone and one.phase is not Phase.RUNNING
        for one in draft.instances
    )
    return AppSituation.CRASHED if crashed or buried else AppSituation.NO_INSTANCE
