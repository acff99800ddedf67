"""Control groups, version 2: one hierarchy, whose controllers are passed down level by level."""

from __future__ import annotations

from pathlib import Path

from runtime.containers.cgroup import INIT_PROCESSES, MONITORS, PERIOD, Cgroups, Counted, await_still, flat, quota_of, read, write
from runtime.containers.spec import Limits, TeamLimits
from runtime.errors import HostLacks

_NEEDED = ("cpu", "memory", "pids")


class UnifiedCgroups(Cgroups):
    """`mount` is where cgroup2 is mounted."""

    def __init__(self, parent: str, mount: Path) -> None:
        super().__init__(parent)
        self._mount = mount

    @property
    def is_unified(self) -> bool:
        return True

    @property
    def roots(self) -> tuple[Path, ...]:
        return (self._mount / self.parent,)

    def prepare(self) -> None:
        missing = set(_NEEDED) - set((self._mount / "cgroup.controllers").read_text().split())
        if missing:
            what = f"The control group controllers {', '.join(sorted(missing))} are not available on this machine."
            raise HostLacks(what, hint="Enable them on the kernel's command line (cgroup_enable=memory), or delegate them to this machine.")
        parent = self._mount / self.parent
        _pass_down(self._mount)
        parent.mkdir(exist_ok=True)
        _pass_down(parent)
        (parent / MONITORS).mkdir(exist_ok=True)

    def create(self, team: int, id: str, limits: Limits) -> None:
        self._team(team)
        (self._group(team) / id).mkdir(exist_ok=True)
        self.set_limits(team, id, limits)

    def set_limits(self, team: int, id: str, limits: Limits) -> None:
        _set(self._group(team) / id, cpu=limits.cpu, memory=limits.memory, processes=limits.processes + INIT_PROCESSES)

    def set_team_limits(self, team: int, limits: TeamLimits) -> None:
        self._team(team)
        _set(self._group(team), cpu=limits.cpu, memory=limits.memory, processes=limits.processes)

    def counted(self, team: int, id: str) -> Counted | None:
        group = self._group(team) / id
        if (used := read(group / "memory.current")) is None:
            return None
        reclaimable = flat(read(group / "memory.stat")).get("inactive_file", 0)
        events = flat(read(group / "memory.events"))
        return Counted(
            cpu_seconds=flat(read(group / "cpu.stat")).get("usage_usec", 0) / 1e6,
            memory_bytes=max(int(used) - reclaimable, 0),
            processes=max(int(read(group / "pids.current") or 0) - INIT_PROCESSES, 0),
            oom_kills=events.get("oom_kill", 0),
            reached_own_limit=events.get("oom", 0) > 0,
        )

    def is_frozen(self, team: int, id: str) -> bool:
        return (read(self._group(team) / id / "cgroup.freeze") or "0").strip() == "1"

    def freeze(self, team: int, id: str) -> None:
        group = self._group(team) / id
        if read(group / "cgroup.freeze") is not None:
            write(group / "cgroup.freeze", 1)
            await_still(lambda: flat(read(group / "cgroup.events")).get("frozen", 1) == 1, id)

    def thaw(self, team: int, id: str) -> None:
        if self.is_frozen(team, id):
            write(self._group(team) / id / "cgroup.freeze", 0)

    def monitor_files(self) -> tuple[Path, ...]:
        return (self._mount / self.parent / MONITORS / "cgroup.procs",)

    def _group(self, team: int) -> Path:
        return self._mount / self.parent / f"team{team}"

    def _team(self, team: int) -> None:
        self._group(team).mkdir(exist_ok=True)
        _pass_down(self._group(team))


def _pass_down(group: Path) -> None:
    enabled = (group / "cgroup.subtree_control").read_text().split()
    if lacking := [name for name in _NEEDED if name not in enabled]:
        write(group / "cgroup.subtree_control", " ".join(f"+{name}" for name in lacking))


def _set(group: Path, *, cpu: int, memory: int, processes: int) -> None:
    write(group / "cpu.max", f"{quota_of(cpu)} {PERIOD}")
    write(group / "memory.max", memory)
    if (swap := group / "memory.swap.max").exists():  # not where swap accounting is off
        write(swap, 0)
    write(group / "pids.max", processes)
