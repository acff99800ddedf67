"""The value that the steps of a plan pass on: the state of one app, and the actions found so far.

Pure. Its answers about an instance or a group are valid for one plan.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from runtime.converge.actions import Action, DrainInstance, SetRoutes, StopInstance
from runtime.converge.desired import DesiredApp, DesiredRelease
from runtime.converge.observed import (
    Asleep,
    CanaryStage,
    Group,
    ObservedApp,
    ObservedInstance,
    Phase,
    Slot,
)
from runtime.converge.planning import backoff
from runtime.converge.planning.groups import count_of, group_of, web_count
from runtime.converge.planning.instance_health import is_healthy, is_live
from runtime.converge.strategy import StrategyKind
from runtime.router.routes import AppRoutes, AppSituation


class OutcomeState(StrEnum):
    """The state of the candidate; NONE when there is no candidate."""

    NONE = "none"
    PENDING = "pending"
    LIVE = "live"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    state: OutcomeState
    reason: str = ""  # why it failed
    rolled_back: bool = False  # it failed after it had received a share of the requests


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The actions to execute now, in order, and the time of the next plan."""

    actions: tuple[Action, ...]
    outcome: Outcome
    waiting: bool = False  # an instance boots or drains: plan again soon
    look_again_at: float | None = None  # when the next back-off or time limit ends

    @property
    def settled(self) -> bool:
        """Return whether nothing is to do or in progress: the next plan can wait for an event."""
        return not self.actions and not self.waiting

    def describe(self) -> str:
        return "\n".join(action.describe() for action in self.actions) or "Nothing to do"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanState:
    """The facts known of one app, and the actions found so far.

    A value: each step of `plan` takes one and returns the next. Actions are kept by kind, because
    they are executed in another order than they are found.
    """

    desired: DesiredApp
    observed: ObservedApp
    now: float
    instances: tuple[ObservedInstance, ...]
    serving: Group | None
    candidate: DesiredRelease | None  # unless it failed
    stage: CanaryStage | None  # of the candidate, if it is a canary with a step
    asleep: Asleep | None
    draining: frozenset[str]
    condemned: frozenset[str]  # of a candidate that failed
    outcome: Outcome = Outcome(state=OutcomeState.NONE)
    stored_actions: tuple[Action, ...] = ()  # stored first
    starts: tuple[Action, ...] = ()
    ends: tuple[Action, ...] = ()
    gone: frozenset[str] = frozenset()  # instances that this plan removes
    restarting: frozenset[str] = frozenset()  # they failed their health checks too long
    occupants: Mapping[Slot, ObservedInstance] = field(default_factory=dict)
    waiting: bool = False
    look_again_at: float | None = None

    @classmethod
    def begin(cls, desired: DesiredApp, observed: ObservedApp, now: float) -> PlanState:
        """Return the state before the first step."""
        # Healthy instances first, then the oldest: the first instance of a slot keeps it.
        instances = tuple(
            sorted(
                observed.instances,
                key=lambda instance: (
                    instance.phase is not Phase.RUNNING,
                    not is_healthy(instance, now),
                    instance.started_at or 0.0,
                    instance.id,
                ),
            )
        )
        stage, candidate = observed.stage, desired.candidate
        is_canary = (
            stage is not None
            and candidate is not None
            and (stage.group, stage.attempt) == (group_of(candidate), candidate.attempt)
        )
        return cls(
            desired=desired,
            observed=observed,
            now=now,
            instances=instances,
            serving=observed.serving,
            candidate=candidate,
            stage=stage if is_canary else None,
            asleep=observed.asleep,
            draining=frozenset(
                instance.id for instance in instances if instance.marks.draining_since is not None
            ),
            condemned=frozenset(instance.id for instance in instances if instance.marks.condemned),
        )

    @property
    def target(self) -> DesiredRelease | None:
        return self.candidate or self.desired.current

    @property
    def groups_to_keep(self) -> list[tuple[DesiredRelease, Group]]:
        """Return the groups to keep complete: the target, and the serving group if current."""
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
    def moving(self) -> StrategyKind | None:
        """Return how traffic moves from the serving group to the target; None if it does not."""
        target = self.target
        if target is None or self.serving is None or self.serving == group_of(target):
            return None
        kind = self.desired.strategy.kind
        if kind is not StrategyKind.CANARY:
            return kind
        if self.candidate is None or not web_count(target):
            # A restart has no new code to compare. Without requests there is nothing to compare.
            return StrategyKind.ROLLING
        # No old instance could serve the other share.
        return StrategyKind.BLUE_GREEN if self.serving_is_down else kind

    @property
    def serving_is_down(self) -> bool:
        """Return whether the serving group has no healthy instance."""
        return not any(
            instance.slot.group == self.serving and is_healthy(instance, self.now)
            for instance in self.in_service()
        )

    @property
    def step(self) -> int:
        """Return the step that a canary is prepared for, or the number of steps at the end."""
        if self.stage is None:
            return 0
        steps = self.desired.strategy.steps
        over = (
            self.stage.step >= len(steps)
            or self.now - self.stage.since >= steps[self.stage.step].seconds
        )
        return min(self.stage.step + over, len(steps))

    @property
    def may_have_all(self) -> bool:
        """Return whether all steps of the canary are over, so that it may receive all requests."""
        return self.step >= len(self.desired.strategy.steps)

    @property
    def canary_count(self) -> int:
        """Return the number of canary instances for the current share of requests.

        It is large enough that none gets more requests than an old instance, within the formation.
        """
        assert self.candidate is not None
        web, share = web_count(self.candidate), self.desired.strategy.steps[self.step].percent
        return min(web, max(1, math.ceil(web * share / (100 - share))))

    @property
    def stopped(self) -> bool:
        """Return whether the app has slept so long that its public instances must be stopped."""
        sleep = self.desired.sleep
        return (
            self.asleep is not None
            and sleep is not None
            and self.now - self.asleep.since >= sleep.stop_after
        )

    def release_of(self, group: Group) -> DesiredRelease | None:
        """Return the release of a group, or None if it is neither the candidate nor current."""
        return next(
            (
                release
                for release in (self.desired.candidate, self.desired.current)
                if release is not None and release.number == group.release
            ),
            None,
        )

    def free_at(self, slot: Slot) -> float:
        """Return the time when an empty slot may be filled: now, or the end of its back-off."""
        crashes = self.observed.crashes.get(slot)
        return (
            crashes.at + backoff.delay(crashes.count, lost=crashes.lost)
            if crashes is not None
            else self.now
        )

    def in_service(self) -> list[ObservedInstance]:
        """Return the running instances that are not removed, draining or condemned."""
        away = self.gone | self.draining | self.condemned
        return [
            instance
            for instance in self.instances
            if instance.phase is Phase.RUNNING and instance.id not in away
        ]

    def may_leave(self, instance: ObservedInstance) -> bool:
        """Return whether enough other instances of its process type take requests.

        An instance that takes no requests may always leave.
        """
        takes = self.routed(instance.id) and instance.public and self.asleep is None
        if not takes or self.desired.strategy.kind is StrategyKind.RECREATE:
            return True
        process = instance.slot.process
        wanted = min((count_of(release, process) for release, _ in self.groups_to_keep), default=0)
        watched = (
            group_of(self.candidate)
            if self.candidate is not None and self.moving is StrategyKind.CANARY
            else None
        )
        others = [
            other
            for other in self.in_service()
            if other.slot.process == process
            and other.slot.group != watched
            and is_live(other, self.now)
        ]
        return sum(other.id != instance.id for other in others) >= wanted

    def routed(self, instance: str) -> bool:
        """Return whether the router sends it new requests."""
        routes = self.observed.routes
        return routes is not None and any(
            endpoint.instance == instance and not endpoint.draining for endpoint in routes.endpoints
        )

    def is_quiet(self, instance: ObservedInstance) -> bool:
        """Return whether the app is asleep in the router and the instance has no connection."""
        routes = self.observed.routes
        return (
            routes is not None
            and routes.situation is AppSituation.ASLEEP
            and not instance.connections
        )

    def known_to_router(self, instance: str) -> bool:
        routes = self.observed.routes
        return routes is not None and any(
            endpoint.instance == instance for endpoint in routes.endpoints
        )

    def was_canary(self, instance: str) -> bool:
        """Return whether the router has it as an endpoint of a canary."""
        routes = self.observed.routes
        return routes is not None and any(
            endpoint.instance == instance and endpoint.canary for endpoint in routes.endpoints
        )

    def dismissed(self, instance: ObservedInstance) -> PlanState:
        """Return the state in which an instance leaves when others can take its requests.

        If the router knows it, it drains first.
        """
        if not self.may_leave(instance):
            return self.waits()
        if instance.phase is Phase.RUNNING and self.known_to_router(instance.id):
            drain = DrainInstance(instance=instance.id, slot=instance.slot, at=self.now)
            return replace(
                self,
                stored_actions=(*self.stored_actions, drain),
                draining=self.draining | {instance.id},
            )
        return self.retired(instance)

    def retired(self, instance: ObservedInstance) -> PlanState:
        """Return the state in which an instance is stopped and removed."""
        return self.removed(instance, StopInstance(instance=instance.id, slot=instance.slot))

    def removed(self, instance: ObservedInstance, action: Action) -> PlanState:
        """Return the state in which `action` removes an instance."""
        return replace(self, ends=(*self.ends, action), gone=self.gone | {instance.id})

    def occupied(self, instance: ObservedInstance) -> PlanState:
        """Return the state in which an instance fills its slot."""
        return replace(self, occupants={**self.occupants, instance.slot: instance})

    def marked(self, *actions: Action) -> PlanState:
        """Return the state with more actions that are stored first."""
        return replace(self, stored_actions=(*self.stored_actions, *actions))

    def started(self, action: Action) -> PlanState:
        """Return the state with one more start."""
        return replace(self, starts=(*self.starts, action))

    def waits(self) -> PlanState:
        """Return the state in which something boots or drains."""
        return replace(self, waiting=True)

    def looking_at(self, moment: float) -> PlanState:
        """Return the state in which the next plan is due at `moment` at the latest."""
        return replace(
            self,
            look_again_at=moment if self.look_again_at is None else min(self.look_again_at, moment),
        )

    def finish(self, routes: AppRoutes) -> Plan:
        switch: list[Action] = [] if routes == self.observed.routes else [SetRoutes(routes=routes)]
        return Plan(
            actions=(*self.stored_actions, *switch, *self.starts, *self.ends),
            outcome=self.outcome,
            waiting=self.waiting,
            look_again_at=self.look_again_at,
        )
