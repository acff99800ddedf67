"""Every change that converging makes, as a value with one sentence. Deciding is `plan`'s, doing is `apply`'s."""

from __future__ import annotations

from dataclasses import dataclass

from runtime.containers.spec import Limits
from runtime.contract.health import HealthCheck
from runtime.converge.desired import DesiredProcess, DesiredRelease
from runtime.converge.observed import Group, Slot
from runtime.router.routes import AppRoutes, AppSituation


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkReady:
    """The instance is healthy: written down once, so that a later look need not ask it again."""

    instance: str
    place: Slot
    at: float
    after: float  # seconds from its start
    check: HealthCheck | None = None  # that it passed

    def describe(self) -> str:
        return f"{self.place} is healthy after {self.after:.1f} s"


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeOutOfRotation:
    """An instance that was ready fails its health check: others get its requests, if there are others."""

    instance: str
    place: Slot
    at: float
    reason: str

    def describe(self) -> str:
        return f"{self.place} gets no new requests while another one is well: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnToRotation:
    """It passes its health check again, or nobody knows any more that it does not."""

    instance: str
    place: Slot
    after: float  # seconds of failing
    known: bool = True

    def describe(self) -> str:
        if not self.known:
            return f"{self.place} gets requests: its health was not checked lately"
        return f"{self.place} answers its health check again after {self.after:.0f} s, and gets requests"


@dataclass(frozen=True, slots=True, kw_only=True)
class PromoteGroup:
    """From now on `group` is the one that serves; what served before it drains. Written down in one piece, before the router is told."""

    group: Group
    drained: tuple[str, ...]  # instances
    at: float

    def describe(self) -> str:
        return f"{self.group} takes over from {len(self.drained)} older instances" if self.drained else f"{self.group} takes over"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetCanaryWeight:
    """A canary gets a larger share of the requests. Written down before the router is told."""

    group: Group
    attempt: str
    step: int  # of the strategy's, from 0
    percent: int
    at: float

    def describe(self) -> str:
        return f"Send {self.percent} % of the requests to {self.group}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetRoutes:
    """The router's whole knowledge of the app, replaced in one go."""

    routes: AppRoutes

    def describe(self) -> str:
        if self.routes.situation is not AppSituation.SERVING:
            return f"Answer for the app with the page “{self.routes.situation.value}”"
        fresh = len({endpoint.instance for endpoint in self.routes.endpoints if not endpoint.draining})
        draining = len({endpoint.instance for endpoint in self.routes.endpoints}) - fresh
        return f"Send traffic to {_instances(fresh)}" + (f", drain {draining}" if draining else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveRoutes:
    """The router forgets the app and its hosts."""

    app: str

    def describe(self) -> str:
        return f"Take {self.app} out of the router"


@dataclass(frozen=True, slots=True, kw_only=True)
class StartInstance:
    """A new instance in an empty place. Its id is drawn when it is applied."""

    place: Slot
    release: DesiredRelease
    process: DesiredProcess

    def describe(self) -> str:
        return f"Start {self.place} with {self.process.limits.cpu} and {self.process.limits.memory}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetLimits:
    """New limits for a running instance, without a restart."""

    instance: str
    place: Slot
    limits: Limits

    def describe(self) -> str:
        return f"Give {self.place} {self.limits.cpu}, {self.limits.memory} and {self.limits.processes} processes"


@dataclass(frozen=True, slots=True, kw_only=True)
class PutToSleep:
    """The app had no visitors for long: the router asks for it to be woken from now on."""

    at: float
    idle: float  # seconds

    def describe(self) -> str:
        return f"Fall asleep: no request for {self.idle / 60:.0f} min"


@dataclass(frozen=True, slots=True, kw_only=True)
class WakeApp:
    """The app is not to sleep any more, though nobody asked for it: it is deployed anew, or its settings changed."""

    at: float

    def describe(self) -> str:
        return "Wake up"


@dataclass(frozen=True, slots=True, kw_only=True)
class FreezeInstance:
    """Let no process of the instance run."""

    instance: str
    place: Slot

    def describe(self) -> str:
        return f"Freeze {self.place}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ThawInstance:
    """Let a frozen instance run again."""

    instance: str
    place: Slot

    def describe(self) -> str:
        return f"Thaw {self.place}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateInstance:
    """A new instance of a sleeping app, made and not started: to wake it is then quick."""

    place: Slot
    release: DesiredRelease
    process: DesiredProcess

    def describe(self) -> str:
        return f"Keep {self.place} ready to be started"


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainInstance:
    """The instance gets nothing new; it is stopped when its connections are done or their time is up."""

    instance: str
    place: Slot
    at: float

    def describe(self) -> str:
        return f"Drain {self.place}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordCrash:
    """An instance ended that should run: counted in its place, then removed."""

    instance: str
    place: Slot
    at: float
    reason: str
    lost: bool

    def describe(self) -> str:
        return f"{self.place} ended: {self.reason.splitlines()[0] if self.reason else 'nothing is known of why'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetBackoff:
    """The crashes of a place are forgotten: it was healthy long enough, or its group is gone."""

    place: Slot

    def describe(self) -> str:
        return f"Forget the crashes of {self.place}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FailCandidate:
    """The candidate failed: the verdict and its instances' end, written down in one piece."""

    group: Group
    attempt: str
    reason: str
    instances: tuple[str, ...]
    rolled_back: bool = False  # from a share of the requests that it had

    def describe(self) -> str:
        return f"{'Roll back' if self.rolled_back else 'Give up'} {self.group}: {self.reason.splitlines()[0]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StopInstance:
    """Stop an instance (SIGTERM, then SIGKILL) and remove all that belongs to it."""

    instance: str
    place: Slot

    def describe(self) -> str:
        return f"Stop {self.place}"


Action = (
    PutToSleep
    | WakeApp
    | FreezeInstance
    | ThawInstance
    | CreateInstance
    | MarkReady
    | TakeOutOfRotation
    | ReturnToRotation
    | PromoteGroup
    | SetCanaryWeight
    | SetRoutes
    | RemoveRoutes
    | StartInstance
    | SetLimits
    | DrainInstance
    | RecordCrash
    | ResetBackoff
    | FailCandidate
    | StopInstance
)


def _instances(count: int) -> str:
    return "1 instance" if count == 1 else f"{count} instances"
