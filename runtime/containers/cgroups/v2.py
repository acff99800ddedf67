"""Control groups, version 2: one hierarchy, whose controllers are enabled level by level."""

from __future__ import annotations

from contextlib import suppress
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
    write,
)
from runtime.containers.spec import Limits, TeamLimits
from runtime.errors import HostLacks

_NEEDED = ("cpu", "memory", "pids")
_WELCOME = ("io",)  # enabled where the kernel has it


class UnifiedCgroups(Cgroups):
    """The groups of version 2. `mount` is the mount point of cgroup2."""

    def __init__(self, parent: str, mount: Path) -> None:
        super().__init__(parent)
        self._mount = mount

    @property
    def is_unified(self) -> bool:
        return True

    @property
    def roots(self) -> tuple[Path, ...]:
        return (self._mount / self.parent,)

    @property
    def held(self) -> tuple[Path, ...]:
        return self.roots

    def prepare(self) -> None:
        missing = set(_NEEDED) - set((self._mount / "cgroup.controllers").read_text().split())
        if missing:
            what = (
                f"The control group controllers {', '.join(sorted(missing))} are not available on"
                " this machine."
            )
            raise HostLacks(
                what,
                hint=(
                    "Enable them on the kernel's command line (cgroup_enable=memory), or delegate"
                    " them to this machine."
                ),
            )
        parent = self._mount / self.parent
        _pass_down(self._mount)
        parent.mkdir(exist_ok=True)
        _pass_down(parent)
        (parent / MONITORS).mkdir(exist_ok=True)
        (parent / TEAM_MONITORS).mkdir(exist_ok=True)
        _pass_down(parent / TEAM_MONITORS)

    def create(self, team: int, id: str, limits: Limits, *, build: bool = False) -> None:
        (self._team(team, build=build) / id).mkdir(exist_ok=True)
        self.set_limits(team, id, limits)

    def set_limits(self, team: int, id: str, limits: Limits) -> None:
        _set(
            self._group(team, id),
            cpu=limits.cpu,
            memory=limits.memory,
            processes=limits.processes + INIT_PROCESSES,
        )

    def set_team_limits(self, team: int, limits: TeamLimits) -> None:
        for build in (False, True):
            _set(
                self._team(team, build=build),
                cpu=limits.cpu,
                memory=limits.memory,
                processes=limits.processes,
            )

    def freeze(self, team: int, id: str, *, frozen: bool) -> None:
        if (switch := self._group(team, id) / "cgroup.freeze").exists():  # Linux 5.2
            write(switch, int(frozen))

    def reclaim(self, team: int, id: str) -> None:
        """Release a container's file cache with memory.reclaim (Linux 5.19).

        See https://docs.kernel.org/admin-guide/cgroup-v2.html#memory-interface-files. Its own data
        stays in memory. To read it back from swap would delay the next request, which costs more
        than the memory is worth.
        """
        group = self._group(team, id)
        stat = flat(read(group / "memory.stat"))
        cached = stat.get("active_file", 0) + stat.get("inactive_file", 0)
        if cached and (switch := group / "memory.reclaim").exists():
            with suppress(OSError):  # EAGAIN: the kernel released less than requested
                switch.write_text(str(cached))

    def is_frozen(self, team: int, id: str) -> bool:
        return (read(self._group(team, id) / "cgroup.freeze") or "0").strip() == "1"

    def is_fully_frozen(self, team: int, id: str) -> bool:
        return flat(read(self._group(team, id) / "cgroup.events")).get("frozen", 1) == 1

    def counters(self, team: int, id: str) -> Counters | None:
        group = self._group(team, id)
        if (used := read(group / "memory.current")) is None:
            return None
        reclaimable = flat(read(group / "memory.stat")).get("inactive_file", 0)
        events = flat(read(group / "memory.events"))
        return Counters(
            cpu_seconds=flat(read(group / "cpu.stat")).get("usage_usec", 0) / 1e6,
            memory_bytes=max(int(used) - reclaimable, 0),
            processes=max(int(read(group / "pids.current") or 0) - INIT_PROCESSES, 0),
            oom_kills=events.get("oom_kill", 0),
            reached_own_limit=events.get("oom", 0) > 0,
            # Since Linux 6.11, the group whose limit was reached counts, here perhaps the team's.
            refused_processes=sum(
                flat(read(file)).get("max", 0)
                for file in (group / "pids.events", group.parent / "pids.events.local")
            ),
        )

    def monitor_files(self) -> tuple[Path, ...]:
        return (self._mount / self.parent / MONITORS / "cgroup.procs",)

    def _monitors_of(self, team: int) -> Path:
        group = self._mount / self.parent / TEAM_MONITORS / f"team{team}"
        group.mkdir(exist_ok=True)
        write(group / "cpu.max", f"{MONITOR_QUOTA} {PERIOD}")
        return group

    def _group(self, team: int, id: str) -> Path:
        return group_below(self._mount / self.parent, team, id)

    def _team(self, team: int, *, build: bool) -> Path:
        """Return the group of a team's instances or builds. Create it if it is missing."""
        place = self._builds() if build else self._mount / self.parent
        group = place / f"team{team}"
        group.mkdir(exist_ok=True)
        _pass_down(group)
        return group

    def _builds(self) -> Path:
        """Return the group of all builds. Create it if it is missing.

        Builds run when the processor is idle, and the disk serves them last.
        """
        group = self._mount / self.parent / BUILDS
        group.mkdir(exist_ok=True)
        _pass_down(group)
        if (idle := group / "cpu.idle").exists():  # Linux 5.15
            write(idle, 1)
        else:
            write(group / "cpu.weight", 1)
        if (disk := group / "io.weight").exists():
            write(disk, "default 1")
        return group


def _pass_down(group: Path) -> None:
    enabled = (group / "cgroup.subtree_control").read_text().split()
    there = (group / "cgroup.controllers").read_text().split()
    wanted = (*_NEEDED, *(name for name in _WELCOME if name in there))
    if lacking := [name for name in wanted if name not in enabled]:
        write(group / "cgroup.subtree_control", " ".join(f"+{name}" for name in lacking))


def _set(group: Path, *, cpu: int, memory: int, processes: int) -> None:
    write(group / "cpu.max", f"{quota_of(cpu)} {PERIOD}")
    write(group / "memory.max", memory)
    if (swap := group / "memory.swap.max").exists():  # missing if swap accounting is off
        write(swap, 0)
    write(group / "pids.max", processes)
