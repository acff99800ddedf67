"""Control groups for confined helpers.

They are siblings of the team's builds and count toward the same limit. So the team pays for the
processing of its own data.
"""

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


_SURELY_IN_USE = 60.0  # the most seconds between a group's creation and its helper's entry


def is_abandoned(cgroups: Cgroups, team: int, id: str, *, now: float) -> bool:
    """Return whether a killed process left a helper's group: it is empty and not new."""
    if cgroups.processes(team, id):
        return False
    places = (group_below(root, team, id) for root in cgroups.roots)
    return all(now - place.stat().st_mtime > _SURELY_IN_USE for place in places if place.is_dir())


@dataclass(frozen=True, slots=True)
class HelperGroup:
    """The control group of a helper."""

    cgroups: Cgroups
    team: int
    id: str

    @property
    def procs_files(self) -> tuple[Path, ...]:
        """Return the files to which a process writes its pid to enter the group (cgroups(7)).

        There is one for each hierarchy.
        """
        groups = (group_below(root, self.team, self.id) for root in self.cgroups.roots)
        return tuple(group / "cgroup.procs" for group in groups if group.is_dir())

    def reached(self) -> str:
        """Return the limit for which the kernel killed the helper; empty: none."""
        counted = self.cgroups.counters(self.team, self.id)
        return f"{LIMITS.memory} of memory" if counted is not None and counted.oom_kills else ""


class HelperGroups:
    """The groups of all helpers of a node."""

    def __init__(self, config: NodeConfig, kernel: Kernel | None = None) -> None:
        self._parent, self._kernel = config.cgroup_parent, kernel or Kernel()

    def remove_empty(self) -> None:
        """Remove empty groups of teams' builds, and their empty parents.

        An empty group contains neither a process nor another group.
        """
        for root in open_cgroups(self._parent, self._kernel).roots:
            builds = root / BUILDS
            for group in (*builds.glob("team*"), builds, root):
                with suppress(OSError):  # in use, or gone
                    group.rmdir()

    @contextmanager
    def helper(self, team: int, *, processes: int | None = None) -> Iterator[HelperGroup]:
        """Create a group for one helper of a team, and remove it after the helper has ended.

        `processes` is the limit of processes and threads, if it differs from that of LIMITS.
        """
        cgroups = open_cgroups(self._parent, self._kernel)
        cgroups.prepare()
        group = HelperGroup(cgroups, team, f"{PREFIX}{os.urandom(6).hex()}")
        cgroups.create(
            team, group.id, replace(LIMITS, processes=processes or LIMITS.processes), build=True
        )
        try:
            yield group
        finally:
            cgroups.remove(team, group.id)
