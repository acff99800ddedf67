"""Control groups for confined helpers: their protocol, and those that this process uses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Protocol


class HelperGroup(Protocol):
    """A control group for one helper."""

    @property
    def procs_files(self) -> tuple[Path, ...]:
        """The files (cgroup.procs) to which a process writes to join the group, one per
        hierarchy.
        """

    def reached(self) -> str:
        """Return the limit that ended the helper, such as "256 MiB of memory"; empty if none
        did.
        """


class Groups(Protocol):
    """Control groups for helpers, under their team's limits."""

    def helper(
        self, team: int, *, processes: int | None = None
    ) -> AbstractContextManager[HelperGroup]:
        """Create a group for a helper of this team; the block removes it.

        `processes` limits its processes and threads.
        """


in_use: list[Groups] = []


def use_groups(groups: Groups) -> None:
    """Put this process's helpers into these control groups from now on.

    Without groups, only their address space is limited.
    """
    in_use[:] = [groups]


@contextmanager
def group_for(team: int, *, processes: int) -> Iterator[HelperGroup | None]:
    """Create a control group for another program that handles a team's bytes.

    Yield None if this process has no groups.
    """
    with in_use[-1].helper(team, processes=processes) if in_use else nullcontext(None) as group:
        yield group
