"""The observed state, as values: one app on one node at one moment.

Pure; `observe` creates it, `plan` reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from runtime.containers.spec import Limits
from runtime.contract.health import HealthCheck
from runtime.converge.canary_analysis import GroupTraffic
from runtime.router import routes
from runtime.router.routes import AppRoutes

WEB = routes.WEB  # the process type that gets the requests that match no path


class Phase(StrEnum):
    """The phase of a container's life."""

    CREATED = "created"  # never started: kept ready for a sleeping app, or its creator was killed
    RUNNING = "running"
    EXITED = "exited"
    LOST = "lost"  # gone without an exit status: the machine restarted, or its monitor was killed


@dataclass(frozen=True, slots=True, order=True)
class Group:
    """The instances of one generation of one release."""

    release: int
    generation: int

    def __str__(self) -> str:
        return f"v{self.release}"


@dataclass(frozen=True, slots=True, order=True)
class Slot:
    """The n-th position of a process type in a group. At most one instance fills it."""

    group: Group
    process: str
    number: int  # from 1

    def __str__(self) -> str:
        return f"{self.process} {self.number} of {self.group}"


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceState:
    """The stored facts about an instance. They survive a restart of the platform."""

    ready_at: float | None = None
    draining_since: float | None = None
    condemned: bool = False  # it belongs to a candidate that failed
    refused: str = ""  # limits that the kernel refused while it runs; its next start applies them
    # The check that it passed to become ready, and that is repeated while it runs. None without a
    # port.
    check: HealthCheck | None = None
    failing_since: float | None = None  # out of the pool while there are other instances


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """The failed health checks of an instance."""

    failures: int  # consecutive
    at: float  # time of the last failure
    trouble: str  # of the last failure: "was refused"


def limits_text(limits: Limits) -> str:
    """Return limits as text that can be stored and compared."""
    return f"{int(limits.cpu)} {int(limits.memory)} {limits.processes} {int(limits.disk)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedInstance:
    """One container of the app."""

    id: str
    slot: Slot
    phase: Phase
    limits: Limits
    public: bool  # gets requests: `web`, and types that a path leads to
    address: str = ""
    port: int = 0
    started_at: float | None = None
    exited_at: float | None = None
    # Passed its check just now; only public instances that are not ready are checked.
    answers: bool = False
    connections: int = 0  # open through the router; read only while it drains or may fall asleep
    frozen: bool = False
    # Why it exited or is not ready yet: the finding, the remedy, the last log lines.
    evidence: str = ""
    early_finding: str = ""  # what it does wrong while it boots, as far as that is certain
    pulse: ProbeResult | None = None  # None: it passed its last health check, or is not checked
    marks: InstanceState = InstanceState()


@dataclass(frozen=True, slots=True, kw_only=True)
class Crashes:
    """The consecutive crashes in one slot."""

    count: int
    at: float  # time of the last crash
    reason: str
    instance: str = ""  # the instance that crashed last, so that it is counted only once
    lost: bool = False  # the last instance was lost or could not start: not the release's fault


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedAttempt:
    """The failed attempt to roll out a release, with its reason.

    It is kept until the next attempt, so that planning the same attempt again has the same result.
    """

    release: int
    attempt: str
    reason: str
    rolled_back: bool = False  # it already received a share of the requests


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryStage:
    """The current step of a canary, and the time of its start.

    `step` is one past the last step when the canary receives all requests.
    """

    group: Group
    attempt: str
    step: int  # from 0
    since: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Asleep:
    """The sleep of an app without requests.

    The first request wakes it without a plan (`converge.wake`).
    """

    since: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedApp:
    """The observed state of one app. `routes` is what the router last received, or None."""

    app: str
    instances: tuple[ObservedInstance, ...] = ()
    serving: Group | None = None  # the group that last took over the traffic
    crashes: Mapping[Slot, Crashes] = field(default_factory=dict)
    verdict: FailedAttempt | None = None
    stage: CanaryStage | None = None
    # Since the canary's last step.
    traffic: Mapping[Group, GroupTraffic] = field(default_factory=dict)
    asleep: Asleep | None = None
    woken_at: float = 0.0  # time of the last wake; 0: never
    active_at: float | None = None  # last request, wake or start of counting; None: not counted
    routes: AppRoutes | None = None
