"""The subtree of control groups that is delegated to the portal's user.

In it the portal creates groups for git without being root.

    <parent>/portal/serving          the portal's own processes; root moves them in at their start
    <parent>/portal/team<N>/<id>     a program that processes a team's data; managed by the portal

See https://docs.kernel.org/admin-guide/cgroup-v2.html#delegation. On version 1, the owner of a
group's files may do the same in each hierarchy.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from runtime.containers.cgroups.cgroup import PORTAL, Cgroups, write

SERVING = "serving"
# Root keeps the files with the limits of the subtree itself.
_GIVEN = ("cgroup.procs", "cgroup.threads", "cgroup.subtree_control", "tasks")
_CONTROLLERS = ("cpu", "memory", "pids")


def delegate(cgroups: Cgroups, uid: int, gid: int) -> None:
    """Create the subtree and make the portal's user its owner. Call `Cgroups.prepare` before.

    It may be called again, and then corrects owners that are wrong.
    """
    for root in cgroups.held:
        root.mkdir(exist_ok=True)
        subtree = root / PORTAL
        subtree.mkdir(exist_ok=True)
        if cgroups.is_unified:
            write(subtree / "cgroup.subtree_control", " ".join(f"+{name}" for name in _CONTROLLERS))
        for folder in (subtree, subtree / SERVING):
            folder.mkdir(exist_ok=True)
            _set_owner(folder, uid, gid)


def entrances(parent: str) -> str:
    """Return the shell pattern of the files through which root moves the portal into its group.

    It covers versions 1 and 2.
    """
    inside = f"{parent}/{PORTAL}/{SERVING}/cgroup.procs"
    return f"/sys/fs/cgroup/{inside} /sys/fs/cgroup/*/{inside}"


def _set_owner(folder: Path, uid: int, gid: int) -> None:
    os.chown(folder, uid, gid)
    for name in _GIVEN:
        with suppress(FileNotFoundError):
            os.chown(folder / name, uid, gid)
