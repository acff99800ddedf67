"""What should run, as values: written by the portal's rows, read by the plan. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from runtime.containers.spec import Limits, TeamLimits
from runtime.contract.health import HealthCheck
from runtime.converge.strategy import Strategy
from runtime.router.policy import Policy
from runtime.router.routes import WEB, PathRoute

# Names become folders, cgroups and router sections, and whoever writes rows is less trusted than this process, which is root.
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredProcess:
    """One process type of a release with its formation."""

    name: str  # `web` gets requests, others if a path leads to them
    command: str  # a shell line, as in the Procfile
    count: int
    limits: Limits

    def __post_init__(self) -> None:
        _check("process type", self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredRelease:
    """One immutable release of an app."""

    number: int
    image: str  # manifest digest, sha256:…
    environment: Mapping[str, str]
    processes: tuple[DesiredProcess, ...]
    health: HealthCheck = field(default_factory=HealthCheck)
    boot_seconds: float = 60.0
    drain_seconds: float = 30.0
    generation: int = 0  # raised by "restart": instances of a lower one are replaced by rolling
    attempt: str = ""  # of a candidate: which rollout this is, so that a failed release may be tried again


@dataclass(frozen=True, slots=True, kw_only=True)
class Sleep:
    """When an app without visitors rests. Seconds without a request."""

    after: float  # until its public instances are frozen: they keep their memory and use no CPU
    stop_after: float = 3600.0  # asleep so long, they are stopped, and others made ready to be started
    jobs_count: bool = True  # while a cron job or another run is at work, the app is not without visitors
    workers_count: bool = False  # with an instance of a process type that gets no requests it never sleeps


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredApp:
    """An app as it should be. `candidate` is being rolled out beside `current`; either may be absent.

    With neither, or with `deleted`, nothing of the app is to run.
    """

    app: str
    team: int
    hosts: tuple[str, ...]
    team_limits: TeamLimits
    current: DesiredRelease | None = None
    candidate: DesiredRelease | None = None
    deleted: bool = False
    strategy: Strategy = Strategy()
    policy: Policy = Policy()  # what the router is asked to do beside sending requests on
    paths: tuple[PathRoute, ...] = ()
    sleep: Sleep | None = None  # never

    @property
    def public(self) -> frozenset[str]:
        """Process types that get requests."""
        return frozenset((WEB, *(path.process for path in self.paths)))

    def __post_init__(self) -> None:
        _check("app", self.app)
        for host in self.hosts:
            for label in host.removeprefix("*.").split("."):
                _check("host", label)


def _check(what: str, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot be the name of a {what}: letters, digits, hyphens and underscores only, at most 63.")
