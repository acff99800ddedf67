"""What should run, as values: written by the portal's rows, read by the plan. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from runtime.containers.spec import Limits, TeamLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredProcess:
    """One process type of a release with its formation."""

    name: str  # `web` gets traffic, others do not
    command: str  # a shell line, as in the Procfile
    count: int
    limits: Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredRelease:
    """One immutable release of an app."""

    number: int
    image: str  # manifest digest, sha256:…
    environment: Mapping[str, str]
    processes: tuple[DesiredProcess, ...]
    health_path: str = "/"
    boot_seconds: float = 60.0
    drain_seconds: float = 30.0
    generation: int = 0  # raised by "restart": instances of a lower one are replaced by rolling
    attempt: str = ""  # of a candidate: which rollout this is, so that a failed release may be tried again


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
