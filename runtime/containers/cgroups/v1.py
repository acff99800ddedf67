"""Control groups, version 1.

Each controller has a hierarchy. A container has the same path in each of them.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from runtime.containers.cgroups.cgroup import (
    BUILDS,
    INIT_PROCESSES,
    MONITOR_QUOTA,
    MONITORS,
    PERIOD,
    TEAM_MONITORS,
    Cgroups,
    Counters,
    flat,
    group_below,
    quota_of,
    read,
    unless_gone,
    write,
)
from runtime.containers.spec import Limits, TeamLimits
from runtime.errors import KernelRefused

_UNLIMITED = -1
_TIMEOUT = 2.0  # seconds
_LEAST_SHARES = 2
# The file depends on the disk's I/O scheduler; some have neither.
_LEAST_DISK_WEIGHTS = {"blkio.bfq.weight": 1, "blkio.weight": 10}
# The hierarchies in which we create groups. The OCI runtime creates those of the others.
_HELD = ("cpu", "memory", "pids")


class LegacyCgroups(Cgroups):
    """The groups of version 1.

    `controllers` has the mount point of each controller. Two may share one (cpu,cpuacct).
    """

    def __init__(self, parent: str, controllers: Mapping[str, Path]) -> None:
        super().__init__(parent)
        self._controllers = controllers

    @property
    def is_unified(self) -> bool:
        return False

    @property
    def roots(self) -> tuple[Path, ...]:
        return tuple(dict.fromkeys(mount / self.parent for mount in self._controllers.values()))

    @property
    def held(self) -> tuple[Path, ...]:
        return tuple(
            dict.fromkeys(self._controllers[name] / self.parent for name in (*_HELD, "cpuacct"))
        )

    def prepare(self) -> None:
        for controller in _HELD:
            (self._controllers[controller] / self.parent).mkdir(exist_ok=True)

    def create(self, team: int, id: str, limits: Limits, *, build: bool = False) -> None:
        if build:
            self._prepare_builds()
        for controller in _HELD:
            group = self._team(controller, team, build=build) / id
            group.parent.mkdir(exist_ok=True)
            group.mkdir(exist_ok=True)
        self.set_limits(team, id, limits)

    def set_limits(self, team: int, id: str, limits: Limits) -> None:
        self._set_memory(self._group("memory", team, id), limits.memory)
        write(self._group("pids", team, id) / "pids.max", limits.processes + INIT_PROCESSES)
        # Version 1 rejects a child's limit above its parent's (EINVAL). After raising a team's
        # limit, set the limits of its containers again.
        group = self._group("cpu", team, id)
        wanted = quota_of(limits.cpu)
        with _held(group.parent):
            team_quota = _quota(group.parent)
            _set_quota(group, wanted if team_quota == _UNLIMITED else min(wanted, team_quota))

    def set_team_limits(self, team: int, limits: TeamLimits) -> None:
        self._prepare_builds()
        for build in (False, True):
            for controller in _HELD:
                self._team(controller, team, build=build).mkdir(exist_ok=True)
            self._set_memory(self._team("memory", team, build=build), limits.memory)
            write(self._team("pids", team, build=build) / "pids.max", limits.processes)
            self._set_team_cpu(self._team("cpu", team, build=build), quota_of(limits.cpu))

    def freeze(self, team: int, id: str, *, frozen: bool) -> None:
        """Freeze or thaw all processes of a container.

        See https://docs.kernel.org/admin-guide/cgroup-v1/freezer-subsystem.html. The OCI runtime
        creates the group.
        """
        if (state := self._freezer(team, id)) is not None and state.exists():
            write(state, "FROZEN" if frozen else "THAWED")

    def reclaim(self, team: int, id: str) -> None:
        """Do nothing: version 1 cannot release the file cache of a group that has processes.

        memory.force_empty works only for a group without processes.
        """

    def is_frozen(self, team: int, id: str) -> bool:
        state = self._freezer(team, id)
        return state is not None and (read(state) or "THAWED").strip() != "THAWED"

    def is_fully_frozen(self, team: int, id: str) -> bool:
        state = self._freezer(team, id)
        return state is None or (read(state) or "FROZEN").strip() == "FROZEN"

    def _freezer(self, team: int, id: str) -> Path | None:
        return (
            self._group("freezer", team, id) / "freezer.state"
            if "freezer" in self._controllers
            else None
        )

    def _prepare_builds(self) -> None:
        """Create the group of all builds. They run when the processor is idle, and the disk serves
        them last.
        """
        for controller in _HELD:
            (self._controllers[controller] / self.parent / BUILDS).mkdir(exist_ok=True)
        group = self._controllers["cpu"] / self.parent / BUILDS
        if (idle := group / "cpu.idle").exists():  # Linux 5.15
            write(idle, 1)
        else:
            write(group / "cpu.shares", _LEAST_SHARES)
        if "blkio" in self._controllers:
            disk = self._controllers["blkio"] / self.parent / BUILDS
            disk.mkdir(parents=True, exist_ok=True)
            for name, least in _LEAST_DISK_WEIGHTS.items():
                if (disk / name).exists():
                    write(disk / name, least)

    def _set_team_cpu(self, group: Path, quota: int) -> None:
        """Set a team's quota. First reduce children that have more than the new quota.

        A child without a quota has at most its parent's.
        """
        deadline = time.monotonic() + _TIMEOUT
        with _held(group):
            while True:
                for child in (path for path in group.iterdir() if path.is_dir()):
                    if _quota(child) > quota:
                        with unless_gone():
                            _set_quota(child, quota)
                try:
                    _set_quota(group, quota)
                except KernelRefused as refused:
                    if refused.errno != errno.EINVAL or time.monotonic() > deadline:
                        raise
                    time.sleep(0.005)  # a removed group still counts for a moment
                else:
                    return

    def counters(self, team: int, id: str) -> Counters | None:
        memory = self._group("memory", team, id)
        used, spent = (
            read(memory / "memory.usage_in_bytes"),
            read(self._group("cpuacct", team, id) / "cpuacct.usage"),
        )
        if used is None:
            return None
        reclaimable = flat(read(memory / "memory.stat")).get("total_inactive_file", 0)
        return Counters(
            cpu_seconds=int(spent or 0) / 1e9,
            memory_bytes=max(int(used) - reclaimable, 0),
            processes=max(
                int(read(self._group("pids", team, id) / "pids.current") or 0) - INIT_PROCESSES, 0
            ),
            oom_kills=flat(read(memory / "memory.oom_control")).get("oom_kill", 0),
            reached_own_limit=any(
                int(read(memory / name) or 0) for name in ("memory.failcnt", "memory.memsw.failcnt")
            ),
            refused_processes=flat(read(self._group("pids", team, id) / "pids.events")).get(
                "max", 0
            ),
        )

    def monitor_files(self) -> tuple[Path, ...]:
        systemd = self._controllers.get("name=systemd")
        if systemd is None or not Path("/run/systemd/system").is_dir():
            return ()  # no service manager stops processes by group
        group = systemd / self.parent / MONITORS
        group.mkdir(parents=True, exist_ok=True)
        return (group / "cgroup.procs",)

    def _monitors_of(self, team: int) -> Path:
        group = self._controllers["cpu"] / self.parent / TEAM_MONITORS / f"team{team}"
        if not group.exists():
            group.mkdir(parents=True, exist_ok=True)
            _set_quota(group, MONITOR_QUOTA)
        return group

    def _group(self, controller: str, team: int, id: str) -> Path:
        return group_below(self._controllers[controller] / self.parent, team, id)

    def _team(self, controller: str, team: int, *, build: bool) -> Path:
        return (
            self._controllers[controller] / self.parent / (BUILDS if build else "") / f"team{team}"
        )

    def _set_memory(self, group: Path, limit: int) -> None:
        """Set the limit of memory, and of memory and swap together, to the same value.

        The first must never be more than the second, so the order depends on the direction.
        """
        together = group / "memory.memsw.limit_in_bytes"
        files = (
            [together, group / "memory.limit_in_bytes"]
            if together.exists()
            else [group / "memory.limit_in_bytes"]
        )
        growing = limit >= int(read(files[0]) or 0)
        for file in files if growing else reversed(files):
            write(file, limit)


@contextmanager
def _held(team: Path) -> Iterator[None]:
    """Lock a team's quota and those of its children, with the folder as the lock (flock(2)).

    Otherwise a child could get more than its parent between the read and the write.
    """
    fd = os.open(team, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _quota(group: Path) -> int:
    return int(read(group / "cpu.cfs_quota_us") or _UNLIMITED)


def _set_quota(group: Path, quota: int) -> None:
    if _quota(group) == quota:
        return
    write(group / "cpu.cfs_period_us", PERIOD)
    write(group / "cpu.cfs_quota_us", quota)
