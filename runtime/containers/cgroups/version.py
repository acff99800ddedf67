"""Choice of the version of control groups: 1 or 2, by what is mounted."""

from __future__ import annotations

from pathlib import Path

from runtime.containers.cgroups.cgroup import Cgroups
from runtime.containers.cgroups.v1 import LegacyCgroups
from runtime.containers.cgroups.v2 import UnifiedCgroups
from runtime.errors import HostLacks
from runtime.kernel import Kernel


def open_cgroups(parent: str, kernel: Kernel) -> Cgroups:
    """Return the control groups of the version that this machine has.

    Raises HostLacks if no hierarchy has the controllers that limits need.
    """
    legacy: dict[str, Path] = {}
    unified: Path | None = None
    for mount in kernel.mounts():
        if mount.kind == "cgroup2":
            unified = unified or mount.target
        elif mount.kind == "cgroup":
            names = mount.options - {"rw", "ro", "xattr", "clone_children", "none"}
            legacy |= {
                name: mount.target for name in names if not name.startswith("release_agent=")
            }
    if {"cpu", "cpuacct", "memory", "pids"} <= legacy.keys():
        return LegacyCgroups(parent, legacy)
    if unified is not None:
        return UnifiedCgroups(parent, unified)
    raise HostLacks(
        "This machine has no control groups for cpu, memory and pids.",
        hint="Mount cgroup2 on /sys/fs/cgroup.",
    )
