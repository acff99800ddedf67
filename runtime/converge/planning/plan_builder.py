"""A plan in the making: what is known of one app, and the actions found so far. Pure.

`plan` fills it in; what it says of an instance or a group holds for the whole of one plan.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum

from runtime.contract.health import HealthCheck
from runtime.converge.actions import Action, DrainInstance, SetRoutes, StopInstance
from runtime.converge.desired import DesiredApp, DesiredRelease
from runtime.converge.observed import WEB, Asleep, CanaryStage, Group, ObservedApp, ObservedInstance, Phase, Slot
from runtime.converge.planning import backoff
from runtime.converge.strategy import Kind
from runtime.router.routes import AppRoutes, AppSituation

PATIENT = 2  # times the attempts that take an instance out of the pool, until it is restarted
STALE_AFTER = 3  # health checks that were due and not made: then nothing is known
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
    rolled_back: bool = False  # it failed with a share of the requests, which it lost again


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


@dataclass(slots=True, kw_only=True)
class PlanBuilder:
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
    condemned: set[str] = field(default_factory=set)  # of a candidate that failed
    restarting: set[str] = field(default_factory=set)  # for failing their health checks too long
    stage: CanaryStage | None = None  # of the candidate, if it is a canary that has come to one
    asleep: Asleep | None = None
    occupants: dict[Slot, ObservedInstance] = field(default_factory=dict)
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
                key=lambda one: (one.phase is not Phase.RUNNING, not is_healthy(one, self.now), one.started_at or 0.0, one.id),
            )
        )
        self.draining = {one.id for one in self.instances if one.marks.draining_since is not None}
        self.condemned = {one.id for one in self.instances if one.marks.condemned}
        self.asleep = self.observed.asleep
        stage, candidate = self.observed.stage, self.candidate
        if stage is not None and candidate is not None and (stage.group, stage.attempt) == (group_of(candidate), candidate.attempt):
            self.stage = stage

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

    @property
    def moving(self) -> Kind | None:
        """How traffic is being moved from the group that serves to the target; None when there is nothing to move."""
        target = self.target
        if target is None or self.serving is None or self.serving == group_of(target):
            return None
        kind = self.desired.strategy.kind
        if kind is not Kind.CANARY:
            return kind
        if self.candidate is None or not web_count(target):
            return Kind.ROLLING  # a restart is no news to be watched, and without visitors nothing can be
        return Kind.BLUE_GREEN if self.bereft else kind  # a share of what nobody else serves is all of it

    @property
    def bereft(self) -> bool:
        """Of the group that serves, nothing does."""
        return not any(one.place.group == self.serving and is_healthy(one, self.now) for one in self.in_service())

    @property
    def step(self) -> int:
        """Of a canary: the step it is to be made ready for, the number of all steps when it may have everything."""
        if self.stage is None:
            return 0
        steps = self.desired.strategy.steps
        over = self.stage.step >= len(steps) or self.now - self.stage.since >= steps[self.stage.step].seconds
        return min(self.stage.step + over, len(steps))

    @property
    def may_have_all(self) -> bool:
        """The canary was watched at each of its steps."""
        return self.step >= len(self.desired.strategy.steps)

    @property
    def canary_places(self) -> int:
        """How many instances of the candidate meet its share: so many that none has more to do than one beside it, as far as there are."""
        assert self.candidate is not None
        web, share = web_count(self.candidate), self.desired.strategy.steps[self.step].percent
        return min(web, max(1, math.ceil(web * share / (100 - share))))

    @property
    def stopped(self) -> bool:
        """Asleep so long that its public instances are not to run at all."""
        sleep = self.desired.sleep
        return self.asleep is not None and sleep is not None and self.now - self.asleep.since >= sleep.stop_after

    def release_of(self, group: Group) -> DesiredRelease | None:
        """The release of a group; None if it is neither the candidate nor current."""
        return next(
            (one for one in (self.desired.candidate, self.desired.current) if one is not None and one.number == group.release), None
        )

    def free_at(self, place: Slot) -> float:
        """When an empty place may be filled: now, or at the end of its back-off."""
        crashes = self.observed.crashes.get(place)
        return crashes.at + backoff.delay(crashes.count, lost=crashes.lost) if crashes is not None else self.now

    def in_service(self) -> list[ObservedInstance]:
        """Running, and on nobody's way out."""
        away = self.gone | self.draining | self.condemned
        return [one for one in self.instances if one.phase is Phase.RUNNING and one.id not in away]

    def may_leave(self, instance: ObservedInstance) -> bool:
        """Whether as many of its process type as are wanted take requests without it. One that takes none may always go."""
        takes = self.routed(instance.id) and instance.public and self.asleep is None
        if not takes or self.desired.strategy.kind is Kind.RECREATE:
            return True
        process = instance.place.process
        wanted = min((count_of(release, process) for release, _ in self.staffed), default=0)
        watched = group_of(self.candidate) if self.candidate is not None and self.moving is Kind.CANARY else None
        others = [
            one for one in self.in_service() if one.place.process == process and one.place.group != watched and is_live(one, self.now)
        ]
        return sum(one.id != instance.id for one in others) >= wanted

    def routed(self, instance: str) -> bool:
        """The router was told to send it new requests."""
        routes = self.observed.routes
        return routes is not None and any(one.instance == instance and not one.draining for one in routes.endpoints)

    def is_quiet(self, instance: ObservedInstance) -> bool:
        """The router was told that the app sleeps, and nothing is open to this instance."""
        routes = self.observed.routes
        return routes is not None and routes.situation is AppSituation.ASLEEP and not instance.connections

    def known_to_router(self, instance: str) -> bool:
        routes = self.observed.routes
        return routes is not None and any(one.instance == instance for one in routes.endpoints)

    def was_canary(self, instance: str) -> bool:
        """The router knows it among a canary's endpoints."""
        routes = self.observed.routes
        return routes is not None and any(one.instance == instance and one.canary for one in routes.endpoints)

    def dismiss(self, instance: ObservedInstance) -> None:
        """Send it home: by way of draining if it has traffic, and not before others have it."""
        if not self.may_leave(instance):
            self.waiting = True
        elif instance.phase is Phase.RUNNING and self.known_to_router(instance.id):
            self.marks.append(DrainInstance(instance=instance.id, place=instance.place, at=self.now))
            self.draining.add(instance.id)
        else:
            self.retire(instance)

    def retire(self, instance: ObservedInstance) -> None:
        self.ends.append(StopInstance(instance=instance.id, place=instance.place))
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


def is_healthy(instance: ObservedInstance, now: float) -> bool:
    """Ready for traffic or, without a port, up long enough."""
    if instance.phase is not Phase.RUNNING:
        return False
    if instance.marks.ready_at is not None:
        return True
    if instance.public:
        return instance.answers
    return instance.started_at is not None and now - instance.started_at >= SETTLE_SECONDS


def is_live(instance: ObservedInstance, now: float) -> bool:
    """Healthy, and still passing its health checks."""
    return is_healthy(instance, now) and not fails_checks(instance, now)


def fails_checks(instance: ObservedInstance, now: float) -> bool:
    """It was ready, and failed as many health checks in a row as are too many."""
    return _failures(instance, now) >= (instance.marks.check or HealthCheck()).attempts


def is_given_up(instance: ObservedInstance, now: float) -> bool:
    """It goes on failing: only a restart may help."""
    return _failures(instance, now) >= (1 + PATIENT) * (instance.marks.check or HealthCheck()).attempts


def why_it_fails(instance: ObservedInstance) -> str:
    """What its last health check met; empty for one that is not known to fail."""
    check, pulse = instance.marks.check, instance.pulse
    return f"{check.describe()} {pulse.trouble}, {pulse.failures} times in a row." if check is not None and pulse is not None else ""


def _failures(instance: ObservedInstance, now: float) -> int:
    """In a row. None are known of what is not asked, or was not for long: whoever asks is away, or it slept."""
    check, pulse = instance.marks.check, instance.pulse
    if check is None or pulse is None or instance.frozen or instance.phase is not Phase.RUNNING:
        return 0
    return pulse.failures if now - pulse.at <= STALE_AFTER * (check.interval + check.timeout) else 0


def group_of(release: DesiredRelease) -> Group:
    return Group(release.number, release.generation)


def web_count(release: DesiredRelease) -> int:
    return count_of(release, WEB)


def count_of(release: DesiredRelease, process: str) -> int:
    return next((one.count for one in release.processes if one.name == process), 0)
