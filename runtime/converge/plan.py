"""From what is wanted and what runs to the next actions. Pure: the same three arguments give the same plan.

One function does first deploys, rollouts, restarts, scaling, crashes and deletion, because each is the same question:
which group of instances is the target, which one serves, and what is missing between the two. Every action may be the
last one before a `kill -9`: the next plan starts from what is then true.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum

from runtime.converge import backoff
from runtime.converge.actions import (
    Action,
    Bury,
    Condemn,
    Drain,
    Forgive,
    Launch,
    MarkReady,
    Promote,
    RemoveRoutes,
    Retire,
    SetLimits,
    SetRoutes,
)
from runtime.converge.desired import DesiredApp, DesiredProcess, DesiredRelease
from runtime.converge.observed import WEB, Group, ObservedApp, ObservedInstance, Phase, Place, limits_text
from runtime.router.table import AppRoutes, AppSituation, Endpoint

SETTLE_SECONDS = 2.0  # a process without a port is ready when it stayed up so long: a bad import or setting ends it sooner


class OutcomeState(StrEnum):
    """How the candidate fares; NONE when there is no candidate."""

    NONE = "none"
    PENDING = "pending"
    LIVE = "live"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    state: OutcomeState
    reason: str = ""  # why it failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do now, in order, and when to look again."""

    actions: tuple[Action, ...]
    outcome: Outcome
    waiting: bool = False  # something boots or drains: look again soon
    look_again_at: float | None = None  # the next back-off's end

    @property
    def settled(self) -> bool:
        """Nothing to do and nothing under way: the next look may wait for an event."""
        return not self.actions and not self.waiting

    def describe(self) -> str:
        return "\n".join(action.describe() for action in self.actions) or "Nothing to do"


def plan(desired: DesiredApp, observed: ObservedApp, now: float) -> Plan:
    """The next actions for one app. `now` is in unix seconds, as are the observed times."""
    if desired.deleted:
        return _plan_removal(observed)
    draft = _Draft(desired=desired, observed=observed, now=now)
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


def healthy(instance: ObservedInstance, now: float) -> bool:
    """Ready for traffic or, without a port, up long enough."""
    if instance.phase is not Phase.RUNNING:
        return False
    if instance.marks.ready_at is not None:
        return True
    if instance.place.process == WEB:
        return instance.answers
    return instance.started_at is not None and now - instance.started_at >= SETTLE_SECONDS


def group_of(release: DesiredRelease) -> Group:
    return Group(release.number, release.generation)


def _plan_removal(observed: ObservedApp) -> Plan:
    actions: list[Action] = [RemoveRoutes(app=observed.app)] if observed.routes is not None else []
    actions += [Retire(instance=instance.id, place=instance.place) for instance in observed.instances]
    return Plan(actions=tuple(actions), outcome=Outcome(state=OutcomeState.NONE))


@dataclass(slots=True, kw_only=True)
class _Draft:
    """A plan in the making: what is known, and the actions found so far by kind, since their order is not that of finding."""

    desired: DesiredApp
    observed: ObservedApp
    now: float
    serving: Group | None = None
    candidate: DesiredRelease | None = None  # unless it failed
    outcome: Outcome = field(default_factory=lambda: Outcome(state=OutcomeState.NONE))
    marks: list[Action] = field(default_factory=list)  # written down first
    starts: list[Action] = field(default_factory=list)
    ends: list[Action] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)  # instances that are not to be counted on any more
    draining: set[str] = field(default_factory=set)
    occupants: dict[Place, ObservedInstance] = field(default_factory=dict)
    waiting: bool = False
    look_again_at: float | None = None
    instances: tuple[ObservedInstance, ...] = ()

    def __post_init__(self) -> None:
        self.serving = self.observed.serving
        self.candidate = self.desired.candidate
        # The healthiest, then the oldest first: the first in a place keeps it.
        self.instances = tuple(
            sorted(
                self.observed.instances,
                key=lambda one: (one.phase is not Phase.RUNNING, not healthy(one, self.now), one.started_at or 0.0, one.id),
            )
        )
        self.draining = {one.id for one in self.instances if one.marks.draining_since is not None}

    @property
    def target(self) -> DesiredRelease | None:
        return self.candidate or self.desired.current

    @property
    def staffed(self) -> list[tuple[DesiredRelease, Group]]:
        """The groups that are kept at full strength: the target, and the one that serves meanwhile, if it is still known."""
        known: list[tuple[DesiredRelease, Group]] = []
        if self.target is not None:
            known.append((self.target, group_of(self.target)))
        if self.serving is not None and self.serving not in (group for _, group in known):
            known += [
                (release, self.serving)
                for release in (self.desired.current,)
                if release is not None and release.number == self.serving.release
            ]
        return known

    def routed(self, instance: str) -> bool:
        """The router was told to send it new requests."""
        routes = self.observed.routes
        return routes is not None and any(one.instance == instance and not one.draining for one in routes.endpoints)

    def known_to_router(self, instance: str) -> bool:
        routes = self.observed.routes
        return routes is not None and any(one.instance == instance for one in routes.endpoints)

    def dismiss(self, instance: ObservedInstance) -> None:
        """Send it home: by way of draining if it has traffic."""
        if instance.phase is Phase.RUNNING and self.routed(instance.id):
            self.marks.append(Drain(instance=instance.id, place=instance.place, at=self.now))
            self.draining.add(instance.id)
        else:
            self.retire(instance)

    def retire(self, instance: ObservedInstance) -> None:
        self.ends.append(Retire(instance=instance.id, place=instance.place))
        self.gone.add(instance.id)

    def look_at(self, moment: float) -> None:
        self.look_again_at = moment if self.look_again_at is None else min(self.look_again_at, moment)

    def finish(self, routes: AppRoutes) -> Plan:
        switch: list[Action] = [] if routes == self.observed.routes else [SetRoutes(routes=routes)]
        return Plan(
            actions=(*self.marks, *switch, *self.starts, *self.ends),
            outcome=self.outcome,
            waiting=self.waiting,
            look_again_at=self.look_again_at,
        )


def _judge_candidate(draft: _Draft) -> None:
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


def _failures(draft: _Draft, candidate: DesiredRelease, members: list[ObservedInstance]) -> Iterator[str]:
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


def _mark_ready(draft: _Draft) -> None:
    for one in draft.instances:
        if healthy(one, draft.now) and one.marks.ready_at is None and not one.marks.condemned and one.id not in draft.gone:
            after = draft.now - (one.started_at or draft.now)
            draft.marks.append(MarkReady(instance=one.id, place=one.place, at=draft.now, after=after))


def _promote(draft: _Draft) -> None:
    """Move traffic to the target's group when it is whole; a group that nothing serves beside takes over at once."""
    current, target = draft.desired.current, draft.target
    if draft.serving is None and current is not None:
        _switch_to(draft, group_of(current))  # a first look, or the notes were lost
    if target is None or draft.serving == group_of(target):
        return
    bereft = not any(one.place.group == draft.serving and healthy(one, draft.now) for one in _in_service(draft))
    if _whole(draft, target) or (bereft and target is current):
        _switch_to(draft, group_of(target))


def _switch_to(draft: _Draft, group: Group) -> None:
    first_look = draft.serving is None
    drained = [] if first_look else [one.id for one in _in_service(draft) if one.place.group != group]
    draft.marks.append(Promote(group=group, drained=tuple(sorted(drained)), at=draft.now))
    draft.draining.update(drained)
    draft.serving = group


def _in_service(draft: _Draft) -> list[ObservedInstance]:
    """Running, and on nobody's way out."""
    return [
        one
        for one in draft.instances
        if one.phase is Phase.RUNNING and not one.marks.condemned and one.id not in draft.gone | draft.draining
    ]


def _whole(draft: _Draft, release: DesiredRelease) -> bool:
    filled = {one.place for one in _in_service(draft) if healthy(one, draft.now)}
    return all(place in filled for place, _ in _places(release, group_of(release)))


def _places(release: DesiredRelease, group: Group) -> Iterator[tuple[Place, DesiredProcess]]:
    for process in release.processes:
        for number in range(1, process.count + 1):
            yield Place(group, process.name, number), process


def _place_or_dismiss(draft: _Draft, instance: ObservedInstance) -> None:
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


def _stands_in(draft: _Draft, instance: ObservedInstance) -> bool:
    """Of a release that is no longer current and so not kept at strength, but all there is until the target is whole."""
    group = instance.place.group
    known = any(group == staffed for _, staffed in draft.staffed)
    return group == draft.serving and not known and instance.phase is Phase.RUNNING and draft.target is not None


def _drain_on(draft: _Draft, instance: ObservedInstance) -> None:
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


def _staff_of(draft: _Draft, instance: ObservedInstance) -> tuple[DesiredRelease, DesiredProcess] | None:
    for release, group in draft.staffed:
        if instance.place.group == group:
            for process in release.processes:
                if process.name == instance.place.process and instance.place.number <= process.count:
                    return release, process
    return None


def _keep(draft: _Draft, instance: ObservedInstance, release: DesiredRelease, process: DesiredProcess) -> None:
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


def _bury(draft: _Draft, instance: ObservedInstance) -> None:
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


def _fill_places(draft: _Draft, release: DesiredRelease, group: Group) -> None:
    for place, process in _places(release, group):
        if place in draft.occupants:
            continue
        crashes = draft.observed.crashes.get(place)
        free_at = crashes.at + backoff.delay(crashes.count) if crashes is not None else draft.now
        if free_at <= draft.now:
            draft.starts.append(Launch(place=place, release=replace(release, generation=group.generation), process=process))
        else:
            draft.look_at(free_at)


def _forgive(draft: _Draft) -> None:
    wanted = {place for release, group in draft.staffed for place, _ in _places(release, group)}
    for place in sorted(draft.observed.crashes):
        occupant = draft.occupants.get(place)
        ready_at = occupant.marks.ready_at if occupant is not None and occupant.id not in draft.gone else None
        if place not in wanted or (ready_at is not None and draft.now - ready_at >= backoff.CLEARED_AFTER):
            draft.marks.append(Forgive(place=place))


def _routes(draft: _Draft) -> AppRoutes:
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


def _situation(draft: _Draft, endpoints: list[Endpoint]) -> AppSituation:
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
