"""Control groups, version 1: one hierarchy a controller, a container under the same path in each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from runtime.containers.cgroup import INIT_PROCESSES, MONITORS, PERIOD, Cgroups, Counted, await_still, flat, quota_of, read, write
from runtime.containers.spec import Limits, TeamLimits
from runtime.errors import HostLacks

_UNLIMITED = -1
_HELD = ("cpu", "memory", "pids")  # the hierarchies whose groups we make; the OCI runtime makes the others


class LegacyCgroups(Cgroups):
    """`controllers` says where each is mounted; two may share a mount (cpu,cpuacct)."""

    def __init__(self, parent: str, controllers: Mapping[str, Path]) -> None:
        super().__init__(parent)
        self._controllers = controllers

    @property
    def is_unified(self) -> bool:
        return False

    @property
    def roots(self) -> tuple[Path, ...]:
        return tuple(dict.fromkeys(mount / self.parent for mount in self._controllers.values()))

    def prepare(self) -> None:
        for controller in _HELD:
            (self._controllers[controller] / self.parent).mkdir(exist_ok=True)

    def create(self, team: int, id: str, limits: Limits) -> None:
        for controller in _HELD:
            self._group(controller, team).mkdir(exist_ok=True)
            self._group(controller, team, id).mkdir(exist_ok=True)
        self.set_limits(team, id, limits)

    def set_limits(self, team: int, id: str, limits: Limits) -> None:
        self._set_memory(self._group("memory", team, id), limits.memory)
        write(self._group("pids", team, id) / "pids.max", limits.processes + INIT_PROCESSES)
        # Version 1 refuses a child more than its parent has (EINVAL); after raising a team's limit, set its containers' again.
        team_quota = _quota(self._group("cpu", team))
        wanted = quota_of(limits.cpu)
        _set_quota(self._group("cpu", team, id), wanted if team_quota == _UNLIMITED else min(wanted, team_quota))

    def set_team_limits(self, team: int, limits: TeamLimits) -> None:
        for controller in _HELD:
            self._group(controller, team).mkdir(exist_ok=True)
        self._set_memory(self._group("memory", team), limits.memory)
        write(self._group("pids", team) / "pids.max", limits.processes)
        group, quota = self._group("cpu", team), quota_of(limits.cpu)
        for child in (path for path in group.iterdir() if path.is_dir()):
            if not 0 <= _quota(child) <= quota:
                _set_quota(child, quota)
        _set_quota(group, quota)

    def counted(self, team: int, id: str) -> Counted | None:
        memory = self._group("memory", team, id)
        used, spent = read(memory / "memory.usage_in_bytes"), read(self._group("cpuacct", team, id) / "cpuacct.usage")
        if used is None:
            return None
        reclaimable = flat(read(memory / "memory.stat")).get("total_inactive_file", 0)
        return Counted(
            cpu_seconds=int(spent or 0) / 1e9,
            memory_bytes=max(int(used) - reclaimable, 0),
            processes=max(int(read(self._group("pids", team, id) / "pids.current") or 0) - INIT_PROCESSES, 0),
            oom_kills=flat(read(memory / "memory.oom_control")).get("oom_kill", 0),
            reached_own_limit=any(int(read(memory / name) or 0) for name in ("memory.failcnt", "memory.memsw.failcnt")),
        )

    def is_frozen(self, team: int, id: str) -> bool:
        return (self._freezer(team, id) or "THAWED").strip() != "THAWED"

    def freeze(self, team: int, id: str) -> None:
        """https://docs.kernel.org/admin-guide/cgroup-v1/freezer-subsystem.html. The group is made by the OCI runtime."""
        if self._freezer(team, id) is None:
            if self.processes(team, id):
                what = "This machine has no freezer among its control groups, so an instance cannot be held still."
                raise HostLacks(what, hint="Mount the freezer controller, or use control groups version 2.")
            return
        write(self._group("freezer", team, id) / "freezer.state", "FROZEN")
        await_still(lambda: (self._freezer(team, id) or "FROZEN").strip() == "FROZEN", id)

    def thaw(self, team: int, id: str) -> None:
        if self.is_frozen(team, id):
            write(self._group("freezer", team, id) / "freezer.state", "THAWED")

    def _freezer(self, team: int, id: str) -> str | None:
        return read(self._group("freezer", team, id) / "freezer.state") if "freezer" in self._controllers else None

    def monitor_files(self) -> tuple[Path, ...]:
        systemd = self._controllers.get("name=systemd")
        if systemd is None or not Path("/run/systemd/system").is_dir():
            return ()  # nobody ends processes by group
        group = systemd / self.parent / MONITORS
        group.mkdir(parents=True, exist_ok=True)
        return (group / "cgroup.procs",)

    def _group(self, controller: str, team: int, id: str = "") -> Path:
        return self._controllers[controller] / self.parent / f"team{team}" / id

    def _set_memory(self, group: Path, limit: int) -> None:
        """Memory and swap together. Neither may pass the other on the way, so the order depends on the direction."""
        together = group / "memory.memsw.limit_in_bytes"
        files = [together, group / "memory.limit_in_bytes"] if together.exists() else [group / "memory.limit_in_bytes"]
        growing = limit >= int(files[0].read_text())
        for file in files if growing else reversed(files):
            write(file, limit)


def _quota(group: Path) -> int:
    return int(read(group / "cpu.cfs_quota_us") or _UNLIMITED)


def _set_quota(group: Path, quota: int) -> None:
    if _quota(group) == quota:
        return
    write(group / "cpu.cfs_period_us", PERIOD)
    write(group / "cpu.cfs_quota_us", quota)
