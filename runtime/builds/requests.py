"""The values of a build that its callers see: what to build, and what was built."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from runtime.builds.import_image import PushedImage
from runtime.containers.spec import Limits, TeamLimits
from runtime.contract.git_address import GitAddress
from runtime.contract.health import HealthCheck
from runtime.contract.manifest import AppFile


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnImages:
    """The images of this machine's registry that FROM may name."""

    host: str  # HOST or HOST:PORT of the registry
    team: str  # for messages
    # (TEAM/APP, tag or digest) -> the image; None if it does not exist or is of another team
    find: Callable[[str, str], PushedImage | None]


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
    # the source, instead of `archive`; it is fetched at the beginning
    repository: GitAddress | None = None
    own_images: OwnImages | None = None
    on_commit: Callable[[str, str], None] | None = None  # hash and author of the fetched commit
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
