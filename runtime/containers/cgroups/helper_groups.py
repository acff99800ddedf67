"""Control groups for confined helpers: beside a team's builds, under the same sum, so that a tenant's bytes cost the tenant."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from runtime.config import NodeConfig
from runtime.containers.cgroups.cgroup import BUILDS, Cgroups, group_below
from runtime.containers.cgroups.version import open_cgroups
from runtime.containers.spec import Limits
from runtime.contract.quantities import Bytes, Millicores
from runtime.kernel import Kernel

PREFIX = "helper-"
LIMITS = Limits(cpu=Millicores(2000), memory=Bytes(768 << 20), processes=4, disk=Bytes(0))


_SURELY_IN_USE = 60.0  # seconds from a group's making to its helper's joining, at the very most


def is_abandoned(cgroups: Cgroups, team: int, id: str, *, now: float) -> bool:
    """Whether a helper's group was left by a killed process: it is empty, and not because it was made just now."""
    if cgroups.processes(team, id):
        return False
    places = (group_below(root, team, id) for root in cgroups.roots)
    return all(now - place.stat().st_mtime > _SURELY_IN_USE for place in places if place.is_dir())


@dataclass(frozen=True, slots=True)
class HelperGroup:
    """The group of one helper."""

    cgroups: Cgroups
    team: int
    id: str

    @property
    def doors(self) -> tuple[Path, ...]:
        """Where a process writes itself to be in it, one a hierarchy (cgroups(7))."""
        groups = (group_below(root, self.team, self.id) for root in self.cgroups.roots)
        return tuple(group / "cgroup.procs" for group in groups if group.is_dir())

    def reached(self) -> str:
        """Which limit the kernel ended it for; empty: none."""
        counted = self.cgroups.counted(self.team, self.id)
        return f"{LIMITS.memory} of memory" if counted is not None and counted.oom_kills else ""


class HelperGroups:
    """Those of one node."""

    def __init__(self, config: NodeConfig, kernel: Kernel | None = None) -> None:
        self._parent, self._kernel = config.cgroup_parent, kernel or Kernel()

    def remove_empty(self) -> None:
        """Remove the groups of teams' builds, and their parents, that hold neither a process nor another group."""
        for root in open_cgroups(self._parent, self._kernel).roots:
            builds = root / BUILDS
            for group in (*builds.glob("team*"), builds, root):
                with suppress(OSError):  # in use, or gone
                    group.rmdir()

    @contextmanager
    def helper(self, team: int, *, processes: int | None = None) -> Iterator[HelperGroup]:
        """Make a group for one helper of a team, and remove it at the end, when the helper has ended.

        `processes`: how many processes and threads it may have, where that is not the number of LIMITS.
        """
        cgroups = open_cgroups(self._parent, self._kernel)
        cgroups.prepare()
        group = HelperGroup(cgroups, team, f"{PREFIX}{os.urandom(6).hex()}")
        cgroups.create(team, group.id, replace(LIMITS, processes=processes or LIMITS.processes), build=True)
        try:
            yield group
        finally:
            cgroups.remove(team, group.id)
