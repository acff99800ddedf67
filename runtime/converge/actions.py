"""The changes that reconciliation makes, as values with one sentence each.

`plan` chooses them, `apply` executes them.
"""

from __future__ import annotations

from dataclasses import dataclass

from runtime.containers.spec import Limits
from runtime.contract.health import HealthCheck
from runtime.converge.desired import DesiredProcess, DesiredRelease
from runtime.converge.observed import Group, Slot
from runtime.router.routes import AppRoutes, AppSituation


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkReady:
    """Record that the instance is healthy, so that later observations need not check it again."""

    instance: str
    slot: Slot
    at: float
    after: float  # seconds since its start
    check: HealthCheck | None = None  # the check that it passed

    def describe(self) -> str:
        return f"{self.slot} is healthy after {self.after:.1f} s"


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeOutOfRotation:
    """Record that a ready instance fails its health check.

    Other instances, if any, get its requests.
    """

    instance: str
    slot: Slot
    at: float
    reason: str

    def describe(self) -> str:
        return f"{self.slot} gets no new requests while another instance is healthy: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnToRotation:
    """Record that the instance passes its health check again, or that its last result is stale."""

    instance: str
    slot: Slot
    after: float  # seconds of failing
    known: bool = True

    def describe(self) -> str:
        if not self.known:
            return f"{self.slot} gets requests: its health was not checked recently"
        return (
            f"{self.slot} answers its health check again after {self.after:.0f} s, and gets"
            " requests"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PromoteGroup:
    """Make `group` the one that serves; the instances that served before it drain.

    All of it is stored in one write, before the router receives the change.
    """

    group: Group
    drained: tuple[str, ...]  # instances
    at: float

    def describe(self) -> str:
        return (
            f"{self.group} takes over from {len(self.drained)} older instances"
            if self.drained
            else f"{self.group} takes over"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SetCanaryWeight:
    """Give a canary a larger share of the requests.

    Stored before the router receives the change.
    """

    group: Group
    attempt: str
    step: int  # of the strategy's, from 0
    percent: int
    at: float

    def describe(self) -> str:
        return f"Send {self.percent} % of the requests to {self.group}"


_WITHOUT_INSTANCES = {
    AppSituation.NO_INSTANCE: "Refuse requests: the app has no instance",
    AppSituation.CRASHED: "Refuse requests: the instances crash",
    AppSituation.ASLEEP: "Wake the app at the next request",
    AppSituation.HOLDING: "Hold requests until an instance is ready",
    AppSituation.NOT_DEPLOYED: "Refuse requests: nothing is deployed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SetRoutes:
    """Replace the app's whole configuration in the router."""

    routes: AppRoutes

    def describe(self) -> str:
        if self.routes.situation is not AppSituation.SERVING:
            return _WITHOUT_INSTANCES[self.routes.situation]
        fresh = len(
            {endpoint.instance for endpoint in self.routes.endpoints if not endpoint.draining}
        )
        draining = len({endpoint.instance for endpoint in self.routes.endpoints}) - fresh
        return f"Send traffic to {_instances(fresh)}" + (f", drain {draining}" if draining else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveRoutes:
    """Remove the app and its hosts from the router."""

    app: str

    def describe(self) -> str:
        return f"Remove {self.app} from the router"


@dataclass(frozen=True, slots=True, kw_only=True)
class StartInstance:
    """Start a new instance in an empty slot. `apply` draws its id at random."""

    slot: Slot
    release: DesiredRelease
    process: DesiredProcess

    def describe(self) -> str:
        return f"Start {self.slot} with {self.process.limits.cpu} and {self.process.limits.memory}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetLimits:
    """Set new limits for a running instance, without a restart."""

    instance: str
    slot: Slot
    limits: Limits

    def describe(self) -> str:
        return (
            f"Limit {self.slot} to {self.limits.cpu}, {self.limits.memory} and"
            f" {self.limits.processes} processes"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PutToSleep:
    """Put an app without requests to sleep. From now on, the router requests that it be woken."""

    at: float
    idle: float  # seconds

    def describe(self) -> str:
        return f"The app falls asleep: no request for {self.idle / 60:.0f} min"


@dataclass(frozen=True, slots=True, kw_only=True)
class WakeApp:
    """End the app's sleep without a request: it is deployed again, or its settings changed."""

    at: float

    def describe(self) -> str:
        return "The app wakes"


@dataclass(frozen=True, slots=True, kw_only=True)
class FreezeInstance:
    """Freeze all processes of the instance."""

    instance: str
    slot: Slot

    def describe(self) -> str:
        return f"Freeze {self.slot}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ThawInstance:
    """Thaw the processes of a frozen instance."""

    instance: str
    slot: Slot

    def describe(self) -> str:
        return f"Thaw {self.slot}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateInstance:
    """Create an instance of a sleeping app without starting it, so that a wake is fast."""

    slot: Slot
    release: DesiredRelease
    process: DesiredProcess

    def describe(self) -> str:
        return f"Create {self.slot} without starting it"


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainInstance:
    """Send the instance nothing new. It stops when its connections end, or at the deadline."""

    instance: str
    slot: Slot
    at: float

    def describe(self) -> str:
        return f"Drain {self.slot}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordCrash:
    """Count a crash of an instance that should run, and remove the instance."""

    instance: str
    slot: Slot
    at: float
    reason: str
    lost: bool

    def describe(self) -> str:
        return (
            f"{self.slot} ended: {self.reason.splitlines()[0] if self.reason else 'unknown reason'}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetBackoff:
    """Reset the crashes of a slot: it was healthy long enough, or its group is gone."""

    slot: Slot

    def describe(self) -> str:
        return f"Reset the crash count of {self.slot}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FailCandidate:
    """Record in one write that the candidate failed and that its instances are to stop."""

    group: Group
    attempt: str
    reason: str
    instances: tuple[str, ...]
    rolled_back: bool = False  # it had a share of the requests

    def describe(self) -> str:
        return (
            f"{'Roll back' if self.rolled_back else 'Stop the rollout of'} {self.group}:"
            f" {self.reason.splitlines()[0]}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StopInstance:
    """Stop an instance (SIGTERM, then SIGKILL) and remove all that belongs to it."""

    instance: str
    slot: Slot

    def describe(self) -> str:
        return f"Stop {self.slot}"


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
