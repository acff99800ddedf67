"""The part of our control groups that the portal's user gets: in it the portal makes groups for git, without being root.

    <parent>/portal/serving          the portal's own processes; root moves them in when it starts them
    <parent>/portal/team<N>/<id>     a program that runs on a team's bytes; made, limited and removed by the portal

https://docs.kernel.org/admin-guide/cgroup-v2.html#delegation. On version 1 the owner of a group's files may do the same, hierarchy by
hierarchy.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from runtime.containers.cgroups.cgroup import PORTAL, Cgroups, write

SERVING = "serving"
_GIVEN = ("cgroup.procs", "cgroup.threads", "cgroup.subtree_control", "tasks")  # limits of the subtree itself stay root's
_CONTROLLERS = ("cpu", "memory", "pids")


def delegate(cgroups: Cgroups, uid: int, gid: int) -> None:
    """Make the subtree and give it to the portal's user, after `Cgroups.prepare`. Run again, it sets right what is wrong."""
    for root in cgroups.held:
        root.mkdir(exist_ok=True)
        subtree = root / PORTAL
        subtree.mkdir(exist_ok=True)
        if cgroups.is_unified:
            write(subtree / "cgroup.subtree_control", " ".join(f"+{name}" for name in _CONTROLLERS))
        for folder in (subtree, subtree / SERVING):
            folder.mkdir(exist_ok=True)
            _give(folder, uid, gid)


def entrances(parent: str) -> str:
    """Return the shell's pattern of the files through which root moves the portal into its group, on version 1 and 2 alike."""
    inside = f"{parent}/{PORTAL}/{SERVING}/cgroup.procs"
    return f"/sys/fs/cgroup/{inside} /sys/fs/cgroup/*/{inside}"


def _give(folder: Path, uid: int, gid: int) -> None:
    os.chown(folder, uid, gid)
    for name in _GIVEN:
        with suppress(FileNotFoundError):
            os.chown(folder / name, uid, gid)
