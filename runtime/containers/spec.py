"""Values that specify a container: its layers, command, limits and binds. Pure.

This module does not contain how a container is created.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from runtime.contract.quantities import Bytes, Millicores
from runtime.network.policy import NetworkPolicy
from runtime.team_ids import first_id_of


class Purpose(StrEnum):
    """Purpose of a container.

    A build's writable layer keeps real ids and becomes an image layer. A run's is discarded.
    """

    RUN = "run"
    BUILD = "build"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Resource limits of one container, enforced by the kernel."""

    cpu: Millicores
    memory: Bytes  # memory and swap together
    processes: int
    disk: Bytes  # size of its private writable layer


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamLimits:
    """Limits for the sum of a team's containers, and the team's network policy.

    The team's cgroup is the parent of its containers' cgroups.
    """

    cpu: Millicores
    memory: Bytes
    processes: int
    network: NetworkPolicy = field(default_factory=NetworkPolicy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bind:
    """A host path that is mounted inside a container, read-only by default."""

    source: Path
    target: str
    writable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Temporary:
    """A file system in memory. It counts as the container's memory."""

    target: str
    size: Bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSpec:
    """The full specification of a container.

    `team` is the team's row id. It also determines the range of user ids and the cgroup.
    """

    id: str  # unique on the node: [a-z0-9-]{1,80}
    app: str
    team: int
    layers: tuple[Path, ...]  # unpacked layers, topmost first
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    working_directory: str = "/"
    uid: int = 1000  # inside the container
    gid: int = 1000
    groups: tuple[int, ...] = ()  # supplementary groups
    limits: Limits
    binds: tuple[Bind, ...] = ()
    volumes: tuple[Bind, ...] = ()  # folders of the team that outlive the container; writable
    temporaries: tuple[Temporary, ...] = ()
    # False: /tmp belongs to the layers, and what is written there becomes part of a build's layer.
    own_tmp: bool = True
    networked: bool = True  # False: an empty network of its own
    purpose: Purpose = Purpose.RUN
    # Kept in the journal and returned by `list()`.
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def first_id(self) -> int:
        """Return the host id of root inside the container (user_namespaces(7))."""
        return first_id_of(self.team)
