"""The desired state of an app, as values: made from the portal's rows, read by the plan. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from runtime.containers.spec import Limits, TeamLimits
from runtime.contract.health import HealthCheck
from runtime.contract.volumes import checked_path
from runtime.converge.strategy import Strategy
from runtime.router.policy import Policy
from runtime.router.routes import WEB, PathRoute
from runtime.volumes.volume import Volume

# Names become folders, cgroups and router sections. This process is root and must not trust the
# process that writes the rows.
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredProcess:
    """One process type of a release with its formation."""

    name: str  # `web` gets requests; other types get them if a path leads to them
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
    secrets: frozenset[str] = frozenset()  # names whose values are masked in the app's log
    processes: tuple[DesiredProcess, ...]
    health: HealthCheck = field(default_factory=HealthCheck)
    boot_seconds: float = 60.0
    drain_seconds: float = 30.0
    generation: int = 0  # raised by "restart": a rolling rollout replaces instances of a lower one
    attempt: str = ""  # of a candidate: the rollout's id, so that a failed release can be retried


@dataclass(frozen=True, slots=True, kw_only=True)
class Sleep:
    """The rules by which an app without requests falls asleep. Times are in seconds."""

    after: float  # without a request; then public instances are frozen: they use memory but no CPU
    # Asleep; then they are stopped, and new ones are created, not started.
    stop_after: float = 3600.0
    jobs_keep_awake: bool = True  # a cron job or another run keeps the app awake
    workers_keep_awake: bool = False  # an instance of a type without requests keeps the app awake


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredVolume:
    """A volume that the app's instances get at a path. Its process types; empty: all of them."""

    volume: Volume
    path: str
    processes: frozenset[str] = frozenset()
    is_new: bool = False  # it may have no data yet, and is created then

    def __post_init__(self) -> None:
        checked_path(self.path)

    def belongs_to(self, process: str) -> bool:
        """Return whether the instances of a process type get it."""
        return not self.processes or process in self.processes


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredApp:
    """The desired state of one app.

    `candidate` is rolled out next to `current`; either may be None.

    With neither, or with `deleted`, nothing of the app should run.
    """

    app: str
    team: int
    hosts: tuple[str, ...]
    team_limits: TeamLimits
    current: DesiredRelease | None = None
    candidate: DesiredRelease | None = None
    deleted: bool = False
    strategy: Strategy = Strategy()
    policy: Policy = Policy()  # what the router does in addition to forwarding requests
    paths: tuple[PathRoute, ...] = ()
    sleep: Sleep | None = None  # None: the app never sleeps
    volumes: tuple[DesiredVolume, ...] = ()

    @property
    def public(self) -> frozenset[str]:
        """Return the process types that get requests."""
        return frozenset((WEB, *(path.process for path in self.paths)))

    def __post_init__(self) -> None:
        _check("app", self.app)
        for host in self.hosts:
            for label in host.removeprefix("*.").split("."):
                _check("host", label)


def _check(what: str, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} cannot be the name of a {what}: letters, digits, hyphens and underscores"
            " only, at most 63."
        )
