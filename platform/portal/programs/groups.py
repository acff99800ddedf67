"""Control groups for the portal's programs: `<subtree>/team<N>/<id>`. The portal creates and
removes them without root.

Root creates the subtree and makes the portal's user its owner
(runtime/containers/cgroups/delegation.py). With systemd's `Delegate=yes`, the subtree is the
service's own group. https://docs.kernel.org/admin-guide/cgroup-v2.html#delegation,
https://docs.kernel.org/admin-guide/cgroup-v1/.
"""

from __future__ import annotations

import errno
import itertools
import os
import re
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from portal.programs.limits import ProgramLimits, ReachedLimit, TeamLimits

# for the portal's own processes: on version 2, a group with children cannot have processes
SERVING = "serving"
_CONTROLLERS = ("cpu", "cpuacct", "memory", "pids")  # for version 1
_PERIOD = 100_000  # microseconds; the period of a CPU limit
_SHARES, _WEIGHT = 128, 12  # an eighth of the portal's own share when both need the processor
_ID = re.compile(r"(\d+)-(\d+)-\d+")
_TIMEOUT = 5.0  # seconds to wait until the last process of a killed group has ended
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramGroup:
    """The group of one program: a folder per controller in each hierarchy. On version 2 all are the
    same folder."""

    folders: Mapping[str, Path]
    is_unified: bool

    @property
    def entrances(self) -> list[Path]:
        """Return the files to which a process writes 0 to move itself into the group."""
        return [folder / "cgroup.procs" for folder in dict.fromkeys(self.folders.values())]

    def cpu_seconds(self) -> float:
        """Return the used processor time."""
        if self.is_unified:
            return _flat(_read(self.folders["cpu"] / "cpu.stat")).get("usage_usec", 0) / 1e6
        return int(_read(self.folders["cpuacct"] / "cpuacct.usage") or 0) / 1e9

    def peak(self) -> int:
        """Return the peak memory use in bytes. 0 if the kernel does not count it (before 5.19 on
        version 2)."""
        name = "memory.peak" if self.is_unified else "memory.max_usage_in_bytes"
        return int(_read(self.folders["memory"] / name) or 0)

    def reached(self) -> ReachedLimit | None:
        """Return the limit for which the kernel has killed or refused something."""
        events = "memory.events" if self.is_unified else "memory.oom_control"
        if _flat(_read(self.folders["memory"] / events)).get("oom_kill", 0):
            return ReachedLimit.MEMORY
        if _flat(_read(self.folders["pids"] / "pids.events")).get("max", 0):
            return ReachedLimit.PROCESSES
        return None

    def kill(self) -> bool:
        """Send SIGKILL to all processes in the group. Return True if there were any."""
        with suppress(FileNotFoundError, OSError):
            # prevent new processes while the others are killed
            (self.folders["pids"] / "pids.max").write_text("0")
        found = self.pids()
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return bool(found)

    def pids(self) -> set[int]:
        """Return the processes in the group."""
        return {
            int(pid) for file in self.entrances for pid in (_read(file) or "").split() if pid != "0"
        }

    def remove(self) -> bool:
        """Remove the group, and its team's group if that is empty. Return False while processes are
        in it."""
        for folder in dict.fromkeys(self.folders.values()):
            try:
                folder.rmdir()
            except FileNotFoundError:
                continue
            except OSError as error:
                if error.errno == errno.EBUSY:
                    return False
                raise
            with suppress(OSError):
                folder.parent.rmdir()  # kept while the team has another program
        return True


class Subtree:
    """The portal's part of the control groups. `folders` is keyed by controller."""

    def __init__(self, folders: Mapping[str, Path], *, is_unified: bool) -> None:
        self.folders = folders
        self.is_unified = is_unified

    def create(self, team: int, limits: ProgramLimits, team_limits: TeamLimits) -> ProgramGroup:
        """Create a group below the team's group. Raise OSError if the kernel refuses (ENOSPC: too
        many groups)."""
        name = f"{os.getpid()}-{_start_time(os.getpid())}-{next(_numbers)}"
        group = ProgramGroup(
            folders={
                controller: folder / f"team{team}" / name
                for controller, folder in self.folders.items()
            },
            is_unified=self.is_unified,
        )
        try:
            self._make(group, team_limits)
            self._limit(group.folders, limits.memory, limits.processes)
        except BaseException:
            group.remove()
            raise
        return group

    def sweep(self) -> int:
        """Kill the programs that killed portals have left, and remove their groups. Return the
        number of groups."""
        removed = 0
        for group in self._groups():
            match = _ID.fullmatch(next(iter(group.folders.values())).name)
            if match and _start_time(int(match[1])) == match[2]:
                continue  # its portal is still running
            deadline = time.monotonic() + _TIMEOUT
            while (group.kill() or not group.remove()) and time.monotonic() < deadline:
                time.sleep(0.005)
            removed += 1
        return removed

    def enter(self) -> None:
        """Move the portal's processes out of the subtree's root, which must be empty to have
        children (version 2)."""
        root = self.folders["memory"]
        (root / SERVING).mkdir(exist_ok=True)
        for _ in range(10):  # a moved process may just have started another one
            for pid in (_read(root / "cgroup.procs") or "").split():
                with suppress(ProcessLookupError):
                    (root / SERVING / "cgroup.procs").write_text(pid)
            try:
                (root / "cgroup.subtree_control").write_text("+cpu +memory +pids")
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise
                continue
            return
        raise OSError(errno.EBUSY, "The portal's control group still has processes.")

    def _make(self, group: ProgramGroup, team_limits: TeamLimits) -> None:
        # another program of the team may end at the same time, and remove the team's group
        for _ in range(10):
            try:
                for folder in dict.fromkeys(group.folders.values()):
                    folder.parent.mkdir(exist_ok=True)
                self._limit_team(
                    {name: folder.parent for name, folder in group.folders.items()}, team_limits
                )
                for folder in dict.fromkeys(group.folders.values()):
                    folder.mkdir(exist_ok=True)
            except FileNotFoundError:
                continue
            return
        raise OSError(errno.EAGAIN, "The team's control group was removed repeatedly.")

    def _limit_team(self, folders: Mapping[str, Path], limits: TeamLimits) -> None:
        self._limit(folders, limits.memory, limits.processes)
        quota = limits.cpu * _PERIOD // 1000
        if self.is_unified:
            (folders["cpu"] / "cpu.max").write_text(f"{quota} {_PERIOD}")
            (folders["cpu"] / "cpu.weight").write_text(str(_WEIGHT))
            (folders["cpu"] / "cgroup.subtree_control").write_text("+cpu +memory +pids")
        else:
            (folders["cpu"] / "cpu.cfs_quota_us").write_text(str(quota))
            (folders["cpu"] / "cpu.shares").write_text(str(_SHARES))

    def _limit(self, folders: Mapping[str, Path], memory: int, processes: int) -> None:
        (folders["pids"] / "pids.max").write_text(str(processes))
        if self.is_unified:
            (folders["memory"] / "memory.max").write_text(str(memory))
            if (swap := folders["memory"] / "memory.swap.max").exists():
                swap.write_text("0")
            return
        files = [
            folders["memory"] / name
            for name in ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes")
        ]
        # the limit of memory may never exceed that of memory and swap, so the order depends on the
        # direction
        shrinks = memory <= int(_read(files[0]) or 0)
        for file in files if shrinks else reversed(files):
            if file.exists():
                file.write_text(str(memory))

    def _groups(self) -> Iterator[ProgramGroup]:
        """Yield the groups that exist in any hierarchy."""
        names = {
            (team.name, group.name)
            for folder in dict.fromkeys(self.folders.values())
            for team in _folders(folder)
            for group in _folders(team)
            if team.name.startswith("team")
        }
        for team_name, name in sorted(names):
            folders = {
                controller: folder / team_name / name for controller, folder in self.folders.items()
            }
            yield ProgramGroup(folders=folders, is_unified=self.is_unified)


def find(
    place: str,
    *,
    is_delegated: bool = False,
    mounts: Path = Path("/proc/self/mountinfo"),
    own: Path = Path("/proc/self/cgroup"),
) -> Subtree | None:
    """Return the subtree at `place` below each hierarchy's root, or None if it is missing or not
    writable for us.

    `is_delegated`: on version 2 it is the group in which we were started, which systemd has
    delegated.
    """
    legacy, unified = _mounts(mounts)
    if legacy:
        folders = {name: target / place for name, target in legacy.items()}
        return (
            Subtree(folders, is_unified=False)
            if all(_is_ours(folder) for folder in folders.values())
            else None
        )
    if unified is None:
        return None
    here = _own_group(own)
    group = here.removesuffix(f"/{SERVING}") if is_delegated else f"/{place}"
    folder = unified / group.lstrip("/")
    if not _is_ours(folder) or (os.geteuid() and not f"{here}/".startswith(f"{group}/")):
        return None  # without privileges, a process cannot be moved into the subtree from outside
    subtree = Subtree(dict.fromkeys(_CONTROLLERS, folder), is_unified=True)
    if is_delegated:
        subtree.enter()
    return subtree


def _mounts(mounts: Path) -> tuple[dict[str, Path], Path | None]:
    """Return the folder of each controller that we need on version 1, or none; and the folder of
    version 2."""
    legacy: dict[str, Path] = {}
    unified: Path | None = None
    for line in mounts.read_text().splitlines():
        before, _, after = line.partition(" - ")
        target, (kind, _, options) = Path(before.split()[4]), after.split(" ", 2)
        if kind == "cgroup2":
            unified = unified or target
        elif kind == "cgroup":
            legacy |= {name: target for name in options.split(",") if name in _CONTROLLERS}
    return (legacy if legacy.keys() >= set(_CONTROLLERS) else {}), unified


def _own_group(own: Path) -> str:
    """Return the path of our group on version 2."""
    return next(
        (line[3:] for line in own.read_text().splitlines() if line.startswith("0::")), "/"
    ).rstrip("/")


def _is_ours(folder: Path) -> bool:
    return (
        folder.is_dir()
        and os.access(folder, os.W_OK)
        and os.access(folder / "cgroup.procs", os.W_OK)
    )


def _folders(place: Path) -> list[Path]:
    try:
        return [
            Path(entry.path) for entry in os.scandir(place) if entry.is_dir(follow_symlinks=False)
        ]
    except FileNotFoundError:  # the process has just ended
        return []


def _start_time(pid: int) -> str:
    """Return the start time of a process (proc(5), field 22). Together with the pid it identifies a
    process permanently."""
    fields = (_read(Path(f"/proc/{pid}/stat")) or "").rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 else ""


def _flat(text: str | None) -> dict[str, int]:
    """Parse lines of the form `name value`."""
    pairs = (line.split() for line in (text or "").splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except OSError as error:
        # the process or group has just ended
        if error.errno in (errno.ENOENT, errno.ENODEV, errno.ESRCH):
            return None
        raise
