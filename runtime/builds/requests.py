"""The values of a build that its callers see: what to build, and what was built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from runtime.containers.spec import Limits, TeamLimits
from runtime.contract.health import HealthCheck
from runtime.contract.manifest import AppFile


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """The source, the owner and the limits of a build."""

    build_id: int
    app: str
    team: int
    archive: Path
    filename: str  # as uploaded; its ending is checked against the content
    limits: Limits
    team_limits: TeamLimits | None = None
    arguments: Mapping[str, str] = field(default_factory=dict)  # a Dockerfile's build arguments
    # The app's config vars that build steps may see. A Dockerfile has them as arguments where it
    # declares the name, and as secrets: the name is the id of RUN --mount=type=secret.
    config_vars: Mapping[str, str] = field(default_factory=dict)
    substitutes: bool = False  # an admin allows stacks for base images that cannot be fetched


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltImage:
    """The result: the manifest's digest, and the shell line of each process type (and of
    `release`).
    """

    digest: str
    processes: dict[str, str]
    app_file: AppFile = field(default_factory=AppFile)
    health: HealthCheck | None = None  # a Dockerfile's HEALTHCHECK
