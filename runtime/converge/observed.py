"""What runs, as values: one app on one node at one moment. Pure; `observe` fills it in, `plan` reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from runtime.containers.spec import Limits
from runtime.contract.health import HealthCheck
from runtime.converge.canary_analysis import GroupTraffic
from runtime.router import routes
from runtime.router.routes import AppRoutes

WEB = routes.WEB  # the process type that gets what no path leads elsewhere


class Phase(StrEnum):
    """How far a container is."""

    CREATED = "created"  # made but never started: its maker was killed in between
    RUNNING = "running"
    EXITED = "exited"
    LOST = "lost"  # gone without an exit status: the machine restarted, or its monitor was killed with it


@dataclass(frozen=True, slots=True, order=True)
class Group:
    """All instances that were started alike: one release, one generation."""

    release: int
    generation: int

    def __str__(self) -> str:
        return f"v{self.release}"


@dataclass(frozen=True, slots=True, order=True)
class Slot:
    """What one instance stands for: the n-th of its process type in its group. At most one instance fills it."""

    group: Group
    process: str
    number: int  # from 1

    def __str__(self) -> str:
        return f"{self.process} {self.number} of {self.group}"


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceState:
    """What we wrote down about an instance, so that the next process of ours knows."""

    ready_at: float | None = None
    draining_since: float | None = None
    condemned: bool = False  # of a candidate that failed
    refused: str = ""  # limits the kernel would not set while it runs: they wait for its next start
    check: HealthCheck | None = None  # that it passed to become ready, and is asked for the rest of its life; None without a port
    failing_since: float | None = None  # out of the pool, if there are others


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """How an instance fails its health checks."""

    failures: int  # in a row
    at: float  # of the last one
    trouble: str  # what the last one met: "was refused"


def limits_text(limits: Limits) -> str:
    """Limits in a form to keep and compare."""
    return f"{int(limits.cpu)} {int(limits.memory)} {limits.processes} {int(limits.disk)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedInstance:
    """One container of the app."""

    id: str
    place: Slot
    phase: Phase
    limits: Limits
    public: bool  # gets requests: `web`, and what a path leads to
    address: str = ""
    port: int = 0
    started_at: float | None = None
    exited_at: float | None = None
    answers: bool = False  # its health path answered just now; asked only of a public instance not yet ready
    connections: int = 0  # open through the router; asked only of draining ones, and of those that may fall asleep
    frozen: bool = False
    evidence: str = ""  # why it exited, or is not ready yet: what was seen, the remedy, the last log lines
    pulse: ProbeResult | None = None  # None: its last health check was passed, or it is not asked
    marks: InstanceState = InstanceState()


@dataclass(frozen=True, slots=True, kw_only=True)
class Crashes:
    """The run of crashes in one place."""

    count: int
    at: float  # of the last
    reason: str
    instance: str = ""  # that crashed last, so that it is counted once
    lost: bool = False  # the last was lost or could not be started, which says nothing against the release


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedAttempt:
    """Why one attempt to roll out a release failed; kept until the next attempt, so that a repeat says the same."""

    release: int
    attempt: str
    reason: str
    rolled_back: bool = False  # it had a share of the requests already


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryStage:
    """How far a canary has come: the step it was last moved to, and since when; one past the last when all was its."""

    group: Group
    attempt: str
    step: int  # from 0
    since: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Asleep:
    """An app that had no visitors for long. The first request wakes it, past all plans: see `engines.node.wake`."""

    since: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedApp:
    """Everything the plan needs to know. `routes` is what the router was last told, None for nothing."""

    app: str
    instances: tuple[ObservedInstance, ...] = ()
    serving: Group | None = None  # the group that traffic was last switched to
    crashes: Mapping[Slot, Crashes] = field(default_factory=dict)
    verdict: FailedAttempt | None = None
    stage: CanaryStage | None = None
    traffic: Mapping[Group, GroupTraffic] = field(default_factory=dict)  # since the canary's last step; empty without a canary
    asleep: Asleep | None = None
    woken_at: float = 0.0  # when it was woken last; 0: never
    active_at: float | None = None  # the last request, wake or begin of counting; None while nobody counts
    routes: AppRoutes | None = None
