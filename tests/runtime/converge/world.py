"""A simulated node in memory that executes plans.

Each action consists of small effects. The process can be killed between two effects.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from runtime.containers.spec import Limits, TeamLimits
from runtime.contract.health import HealthCheck
from runtime.contract.quantities import Bytes, Millicores
from runtime.converge.actions import (
    Action,
    CreateInstance,
    FreezeInstance,
    RecordCrash,
    RemoveRoutes,
    SetLimits,
    SetRoutes,
    StartInstance,
    StopInstance,
    ThawInstance,
)
from runtime.converge.app_state import AppState
from runtime.converge.canary_analysis import GroupTraffic
from runtime.converge.desired import DesiredApp, DesiredProcess, DesiredRelease, Sleep
from runtime.converge.observed import (
    WEB,
    Group,
    ObservedApp,
    ObservedInstance,
    Phase,
    ProbeResult,
    Slot,
)
from runtime.converge.planning.plan import OutcomeState, Plan, plan
from runtime.converge.strategy import Strategy
from runtime.router.routes import AppRoutes, AppSituation, PathRoute

SMALL = Limits(cpu=Millicores(100), memory=Bytes(64 * 2**20), processes=32, disk=Bytes(64 * 2**20))
TEAM = TeamLimits(cpu=Millicores(1000), memory=Bytes(2**30), processes=512)


@dataclass(frozen=True, slots=True, kw_only=True)
class Temper:
    """Boot time and lifetime of the instances of a release."""

    boots_in: float | None = 1.0  # None: never ready
    dies_in: float | None = None


@dataclass(slots=True, kw_only=True)
class SimInstance:
    slot: Slot
    phase: Phase
    limits: Limits
    temper: Temper
    started_at: float | None = None
    exited_at: float | None = None
    connections: int = 0
    frozen: bool = False
    sick_since: float | None = None  # since then its health checks fail, one per interval


class Killed(Exception):
    """The reconciling process was killed at this point."""


@dataclass(slots=True, kw_only=True)
class World:
    """Containers, app record, routes and database rows of one app."""

    now: float = 1000.0
    instances: dict[str, SimInstance] = field(default_factory=dict)
    record: AppState = field(default_factory=AppState)
    routes: AppRoutes | None = None
    tempers: dict[int, Temper] = field(default_factory=dict)
    # of process types that differ from the rest of their release
    type_tempers: dict[tuple[int, str], Temper] = field(default_factory=dict)
    current: DesiredRelease | None = None
    candidate: DesiredRelease | None = None
    deleted: bool = False
    strategy: Strategy = Strategy()
    paths: tuple[PathRoute, ...] = ()
    health: HealthCheck = field(default_factory=HealthCheck)
    sleep: Sleep | None = None
    asked_at: float = 1000.0  # time of the last request
    traffic: dict[Group, GroupTraffic] = field(default_factory=dict)
    born: int = 0
    lives_left: int | None = None  # effects until the process is killed
    launches: list[tuple[float, Slot]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def release(
        self,
        number: int,
        *,
        temper: Temper | None = None,
        counts: dict[str, int] | None = None,
        boot_seconds: float = 60.0,
    ) -> DesiredRelease:
        self.tempers[number] = temper or Temper()
        processes = tuple(
            DesiredProcess(name=name, command="run", count=count, limits=SMALL)
            for name, count in (counts or {WEB: 2}).items()
        )
        generation = self.current.generation if self.current else 0
        return DesiredRelease(
            number=number,
            image="sha256:0",
            environment={},
            processes=processes,
            health=self.health,
            boot_seconds=boot_seconds,
            generation=generation,
            attempt=f"r{number}",
        )

    @property
    def desired(self) -> DesiredApp:
        return DesiredApp(
            app="demo",
            team=1,
            hosts=("demo.test",),
            team_limits=TEAM,
            current=self.current,
            candidate=self.candidate,
            deleted=self.deleted,
            strategy=self.strategy,
            paths=self.paths,
            sleep=self.sleep,
        )

    def observe(self) -> ObservedApp:
        for instance in self.instances.values():
            dies_in = instance.temper.dies_in
            if (
                instance.phase is Phase.RUNNING
                and instance.started_at is not None
                and dies_in is not None
                and self.now >= instance.started_at + dies_in
            ):
                instance.phase, instance.exited_at = Phase.EXITED, instance.started_at + dies_in
        return ObservedApp(
            app="demo",
            instances=tuple(
                self._observed(key, instance) for key, instance in self.instances.items()
            ),
            serving=self.record.serving,
            crashes=self.record.crashes,
            verdict=self.record.verdict,
            stage=self.record.stage,
            traffic=self.traffic,
            asleep=self.record.asleep,
            woken_at=self.record.woken_at,
            active_at=max(self.asked_at, self.record.woken_at),
            routes=self.routes,
        )

    def answers(self, id: str) -> bool:
        instance = self.instances[id]
        boots_in = instance.temper.boots_in
        return (
            instance.phase is Phase.RUNNING
            and instance.started_at is not None
            and boots_in is not None
            and self.now >= instance.started_at + boots_in
        )

    def pulse(self, instance: SimInstance) -> ProbeResult | None:
        """Return the probe result that the supervisor would have recorded by now."""
        failures = (
            int((self.now - instance.sick_since) // self.health.interval)
            if instance.sick_since is not None
            else 0
        )
        return (
            ProbeResult(failures=failures, at=self.now, trouble="got no answer within 5 s")
            if failures
            else None
        )

    def step(self) -> Plan:
        """Observe, plan and apply once.

        Then update the database rows with the outcome, as the workers do.
        """
        made = plan(self.desired, self.observe(), self.now)
        for action in made.actions:
            for effect in self._effects(action):
                if self.lives_left is not None:
                    if self.lives_left == 0:
                        self.lives_left = None
                        raise Killed
                    self.lives_left -= 1
                effect()
                self.check()
        if self.candidate is not None and made.outcome.state is OutcomeState.LIVE:
            self.current, self.candidate = self.candidate, None
        elif self.candidate is not None and made.outcome.state is OutcomeState.FAILED:
            self.failures.append(made.outcome.reason)
            self.candidate = None
        return made

    def run(self, seconds: float, *, tick: float = 0.5) -> None:
        """Reconcile repeatedly while time passes.

        After a kill, continue as if a process manager had restarted the process.
        """
        until = self.now + seconds
        while self.now < until:
            try:
                made = self.step()
            except Killed:
                continue
            if not made.actions:
                self.now += tick

    def settle(self) -> Plan:
        """Reconcile until nothing is left to do. Fail after 400 rounds."""
        for _ in range(400):
            try:
                made = self.step()
            except Killed:
                continue
            if made.settled and made.look_again_at is None and self.candidate is None:
                return made
            if not made.actions:
                self.now = max(self.now + 1.0, made.look_again_at or 0.0)
        raise AssertionError(f"does not settle: {made.describe()}")

    def check(self) -> None:
        """Check the conditions that must hold after every effect."""
        for endpoint in self.routes.endpoints if self.routes else ():
            if not endpoint.draining:
                instance = self.instances.get(endpoint.instance)
                assert instance is not None, f"routes to {endpoint.instance}, which is gone"
                assert instance.phase is not Phase.RUNNING or self.answers(endpoint.instance), (
                    f"routes to {endpoint.instance}, which is not ready"
                )

    def ask(self) -> bool:
        """Simulate a request as the router, the wake service and the engine handle it.

        Return True if it is answered immediately.
        """
        self.asked_at = self.now
        if self.routes is not None and self.routes.situation is AppSituation.ASLEEP:
            for instance in self.instances.values():
                instance.frozen = False
                if instance.phase is Phase.CREATED:
                    self._start(instance)
            self.record = self.record.woken(self.now)
            serving = AppSituation.SERVING if self.serving() else AppSituation.HOLDING
            self.routes = replace(self.routes, situation=serving)
        open_to_all = self.routes is not None and self.routes.situation is AppSituation.SERVING
        return open_to_all and any(
            self.answers(key) and not self.instances[key].frozen for key in self.serving()
        )

    def serving(self) -> list[str]:
        return (
            [endpoint.instance for endpoint in self.routes.endpoints if not endpoint.draining]
            if self.routes
            else []
        )

    def is_canary(self, id: str) -> bool:
        return any(
            endpoint.instance == id and endpoint.canary and not endpoint.draining
            for endpoint in self.routes.endpoints
        )

    def _observed(self, id: str, instance: SimInstance) -> ObservedInstance:
        return ObservedInstance(
            id=id,
            slot=instance.slot,
            phase=instance.phase,
            limits=instance.limits,
            public=instance.slot.process in self.desired.public,
            address="10.0.0.2",
            port=8000,
            started_at=instance.started_at,
            exited_at=instance.exited_at,
            answers=self.answers(id),
            connections=instance.connections,
            frozen=instance.frozen,
            pulse=self.pulse(instance),
            evidence="It exited with code 1." if instance.phase is Phase.EXITED else "",
            marks=self.record.marks.get(id)
            or ObservedInstance.__dataclass_fields__["marks"].default,
        )

    def _effects(self, action: Action) -> Iterator[object]:
        """Yield the effects in the order of `apply`: first the new record, then the world, then the
        record of removed objects.
        """
        noted = self.record.noting(action)
        if noted != self.record:
            yield lambda: setattr(self, "record", noted)
        match action:
            case SetRoutes():
                yield lambda: setattr(self, "routes", action.routes)
            case RemoveRoutes():
                yield lambda: setattr(self, "routes", None)
            case SetLimits():
                yield lambda: setattr(self.instances[action.instance], "limits", action.limits)
            case FreezeInstance() | ThawInstance():
                yield lambda: setattr(
                    self.instances[action.instance], "frozen", isinstance(action, FreezeInstance)
                )
            case StartInstance() | CreateInstance():
                self.born += 1
                fresh = f"i{self.born}"
                instance = SimInstance(
                    slot=action.slot,
                    phase=Phase.CREATED,
                    limits=action.process.limits,
                    temper=self.type_tempers.get(
                        (action.release.number, action.process.name),
                        self.tempers[action.release.number],
                    ),
                )
                yield lambda: self.instances.__setitem__(fresh, instance)
                if isinstance(action, StartInstance):
                    yield lambda: self._start(instance)
            case StopInstance() | RecordCrash():
                yield lambda: self._stop(action.instance)
                yield lambda: self.instances.pop(action.instance, None)
                yield lambda: setattr(self, "record", self.record.without(action.instance))
            case _:
                pass

    def _start(self, instance: SimInstance) -> None:
        instance.phase, instance.started_at = Phase.RUNNING, self.now
        self.launches.append((self.now, instance.slot))

    def _stop(self, id: str) -> None:
        if id in self.instances and self.instances[id].phase is Phase.RUNNING:
            assert id not in self.serving(), f"stops {id} while the router sends it requests"
            self.instances[id].phase, self.instances[id].exited_at = Phase.EXITED, self.now


def scaled(release: DesiredRelease, counts: dict[str, int]) -> DesiredRelease:
    return replace(
        release,
        processes=tuple(
            replace(process, count=counts.get(process.name, process.count))
            for process in release.processes
        ),
    )


NEVER = Temper(boots_in=None)
DIES = Temper(boots_in=None, dies_in=0.3)


def live(counts: dict[str, int] | None = None) -> World:
    world = World()
    world.candidate = world.release(1, counts=counts)
    world.settle()
    assert world.current is not None
    return world
