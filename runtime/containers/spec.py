"""What a container is to be, as values. Pure: says nothing of how it comes about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from runtime.contract.quantities import Bytes, Millicores
from runtime.network.policy import NetworkPolicy

FIRST_ID = 1_000_000  # host ids below belong to people and daemons of the host
IDS_A_TEAM = 65_536


class Purpose(StrEnum):
    """Why a container exists: a build's writable layer keeps real ids and becomes a layer; a run's is thrown away."""

    RUN = "run"
    BUILD = "build"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one container may use; the kernel holds it to each."""

    cpu: Millicores
    memory: Bytes  # memory and swap together
    processes: int
    disk: Bytes  # of its private writable layer


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamLimits:
    """What all containers of a team may use together (the team's cgroup, parent of its containers'), and what they may reach."""

    cpu: Millicores
    memory: Bytes
    processes: int
    network: NetworkPolicy = field(default_factory=NetworkPolicy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bind:
    """One host path made visible inside, read-only unless said otherwise."""

    source: Path
    target: str
    writable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Temporary:
    """A file system in memory, counted to the container's memory."""

    target: str
    size: Bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSpec:
    """One container, whole. `team` is the team's number (its row id), which also fixes its id range and cgroup."""

    id: str  # unique on the node: [a-z0-9-]{1,80}
    app: str
    team: int
    layers: tuple[Path, ...]  # unpacked layers, topmost first
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    working_directory: str = "/"
    uid: int = 1000  # inside
    gid: int = 1000
    groups: tuple[int, ...] = ()  # supplementary ones
    limits: Limits
    binds: tuple[Bind, ...] = ()
    temporaries: tuple[Temporary, ...] = ()
    own_tmp: bool = True  # /tmp is its own and not the layers'; off, what is written there becomes part of a build's layer
    networked: bool = True  # off: a network of its own with nothing in it
    purpose: Purpose = Purpose.RUN
    labels: Mapping[str, str] = field(default_factory=dict)  # kept in the journal, given back by `list()`

    @property
    def first_id(self) -> int:
        """The host id that root inside the container is (user_namespaces(7))."""
        return first_id_of(self.team)


def first_id_of(team: int) -> int:
    """The host id that root in any container of a team is."""
    return FIRST_ID + team * IDS_A_TEAM
