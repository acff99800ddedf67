"""Control groups: `<parent>/team<N>/<id>`, on version 1 and on version 2 alike. The kernel's hold on what was allowed.

Builds stand apart, below `<parent>/builds/team<N>`: all of them together get what processors and disks have to spare, and a team's
builds are held to its limits like its instances, without taking of theirs.

https://docs.kernel.org/admin-guide/cgroup-v2.html, https://docs.kernel.org/admin-guide/cgroup-v1/. On a systemd host our parent
stands beside its slices and enables its own controllers; systemd cannot take them away while our children use them (EBUSY).
"""

from __future__ import annotations

import errno
import os
import re
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from runtime.containers.spec import Limits, TeamLimits
from runtime.errors import HostLacks, KernelRefused

INIT_PROCESSES = 1  # the init we add is not the app's to pay for
PERIOD = 100_000  # microseconds over which a CPU limit is counted
SMALLEST_QUOTA = 1_000  # the kernel takes no less
MONITORS = "monitors"
TEAM_MONITORS = "team-monitors"  # once a container runs, its monitor is held to what its team's monitors may use
MONITOR_QUOTA = 20_000  # microseconds of CPU in a period, for all monitors of a team: some megabytes of output a second
BUILDS = "builds"
PORTAL = "portal"  # the portal's own part: see `delegation`
_PATIENCE = 5.0  # seconds until all processes of a frozen group stand still, or an empty group can be removed
_KILL_PATIENCE = 30.0  # seconds. Processes of a build are idle to the scheduler, so on a busy machine they end slowly


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What a group's counters say."""

    cpu_seconds: float
    memory_bytes: int
    processes: int
    oom_kills: int
    reached_own_limit: bool  # of memory; an oom kill without it was for the team's limit


class Cgroups(ABC):
    """One node's groups. Every verb may be repeated; removing what is gone succeeds."""

    def __init__(self, parent: str) -> None:
        self.parent = parent

    def path_of(self, team: int, id: str) -> str:
        """As the OCI runtime wants it: below each hierarchy's root, with a leading slash."""
        among = f"{BUILDS}/" if any(_is_build(root, team, id) for root in self.roots) else ""
        return f"/{self.parent}/{among}team{team}/{id}"

    @property
    @abstractmethod
    def is_unified(self) -> bool:
        """Version 2, whose groups can be shown inside safely."""

    @property
    @abstractmethod
    def roots(self) -> tuple[Path, ...]:
        """Our parent in each hierarchy."""

    @property
    @abstractmethod
    def held(self) -> tuple[Path, ...]:
        """Our parent in the hierarchies whose controllers limit and count memory, processors and processes."""

    @abstractmethod
    def prepare(self) -> None:
        """Make our parent."""

    @abstractmethod
    def create(self, team: int, id: str, limits: Limits, *, build: bool = False) -> None:
        """A container's group under its team's, held to its limits; a build's is served after all others."""

    @abstractmethod
    def set_limits(self, team: int, id: str, limits: Limits) -> None:
        """Live. KernelRefused: memory in use cannot be pushed under the new limit."""

    @abstractmethod
    def set_team_limits(self, team: int, limits: TeamLimits) -> None:
        """Live, for all instances of a team together, and for all its builds together; makes the groups if there are none."""

    @abstractmethod
    def counted(self, team: int, id: str) -> Counted | None:
        """None: no such group."""

    @abstractmethod
    def monitor_files(self) -> tuple[Path, ...]:
        """Where a monitor's pid is written, so that whoever ends our service's group does not end it too."""

    def hold_monitor(self, team: int, pid: int) -> None:
        """Let a monitor use no more processor time than its team's monitors have together, whatever its container prints. Fine if it ended."""
        with suppress(ProcessLookupError):
            (self._monitors_of(team) / "cgroup.procs").write_text(str(pid))

    @abstractmethod
    def _monitors_of(self, team: int) -> Path:
        """The group of a team's monitors, made if there is none, that limits their processor time."""

    @abstractmethod
    def freeze(self, team: int, id: str, *, frozen: bool) -> None:
        """Let no process of a container run, or let them run again. Fine if there is no such group, or this machine has no freezer."""

    @abstractmethod
    def reclaim(self, team: int, id: str) -> None:
        """Give back what a container keeps of files it has read: they can be read again. Fine if there is no such group."""

    @abstractmethod
    def is_frozen(self, team: int, id: str) -> bool:
        """Whether it was told to freeze."""

    @abstractmethod
    def stands_still(self, team: int, id: str) -> bool:
        """Whether all its processes obeyed, or there are none (any more)."""

    def await_still(self, team: int, id: str) -> None:
        """After `freeze`: until all stand still. KernelRefused: after five seconds something still moves. HostLacks: there is no freezer."""
        if not self.is_frozen(team, id) and self.processes(team, id):
            what = "This machine has no freezer among its control groups, so an instance cannot be held still."
            raise HostLacks(what, hint="Mount the freezer controller, or use control groups version 2.")
        deadline = time.monotonic() + _PATIENCE
        while not self.stands_still(team, id):
            if time.monotonic() > deadline:
                what = f"The processes of container {id} do not stand still."
                raise KernelRefused(what, errno=errno.EBUSY, hint="One hangs in the kernel; look at /proc/PID/stack.")
            time.sleep(0.001)

    def known(self) -> set[tuple[int, str]]:
        """All containers that have a group in any hierarchy."""
        return {(team, group.name) for root in self.roots for team, folder in _teams(root) for group in _children(folder)}

    def processes(self, team: int, id: str) -> set[int]:
        """Pids in a container's group."""
        return {pid for root in self.roots for group in _tree(group_below(root, team, id)) for pid in _pids(group)}

    def kill(self, team: int, id: str) -> None:
        """SIGKILL to all in a group, until none is left. LaunchFailed never: KernelRefused: some are still there after 30 s."""
        deadline = time.monotonic() + _KILL_PATIENCE
        while pids := self.processes(team, id):
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            self.freeze(team, id, frozen=False)  # on version 1 the frozen do not even die
            if time.monotonic() > deadline:
                what = f"Processes {sorted(pids)} of container {id} do not end."
                raise KernelRefused(what, errno=errno.EBUSY, hint="They hang in the kernel; look at /proc/PID/stack.")
            time.sleep(0.001)

    def remove(self, team: int, id: str) -> None:
        """A container's group in every hierarchy, and whatever was made inside it."""
        for root in self.roots:
            for among in (root, root / BUILDS):
                _remove_tree(among / f"team{team}" / id)

    def remove_all(self) -> None:
        """Our parent, with all that is left below. Its processes must have ended, but for monitors and what the portal has left (git),
        which are killed here.
        """
        for root in self.roots:
            for group in (root / MONITORS, *_tree(root / TEAM_MONITORS), *_tree(root / PORTAL)):
                for pid in _pids(group):
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            _remove_tree(root)


def group_below(root: Path, team: int, id: str) -> Path:
    """A container's group below our parent in one hierarchy."""
    return (root / BUILDS if _is_build(root, team, id) else root) / f"team{team}" / id


def quota_of(cpu: int) -> int:
    """Microseconds of CPU in a period, from millicores."""
    return max(cpu * PERIOD // 1000, SMALLEST_QUOTA)


def read(path: Path) -> str | None:
    """A control file's text, None once its group is gone."""
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    except OSError as error:
        if error.errno == errno.ENODEV:  # removed while it was open
            return None
        raise


def write(path: Path, value: int | str) -> None:
    """A control file; KernelRefused names it."""
    try:
        path.write_text(str(int(value)) if isinstance(value, int) else value)  # Bytes print with a unit
    except OSError as error:
        code = error.errno or 0
        raise KernelRefused(
            f"The kernel did not take {value} for {path}: {os.strerror(code)}.", errno=code, hint=_HINTS.get(code, "")
        ) from None


@contextmanager
def unless_gone() -> Iterator[None]:
    """For a group that may end at any moment: that it did is no failure."""
    try:
        yield
    except KernelRefused as refused:
        if refused.errno not in (errno.ENOENT, errno.ENODEV):
            raise


_HINTS = {
    errno.EBUSY: "More is in use than the new limit allows; restart the instance to apply it.",
    errno.ENOENT: "The container is not there any more, or this kernel lacks the controller.",
    errno.ENOSPC: "The kernel's number of control groups is used up.",
}


def flat(text: str | None) -> dict[str, int]:
    """`name value` lines."""
    pairs = (line.split() for line in (text or "").splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}


def _is_build(root: Path, team: int, id: str) -> bool:
    return (root / BUILDS / f"team{team}" / id).is_dir()


def _teams(root: Path) -> Iterator[tuple[int, Path]]:
    for folder in (*_children(root), *_children(root / BUILDS)):
        if match := re.fullmatch(r"team(\d+)", folder.name):
            yield int(match[1]), folder


def _children(folder: Path) -> list[Path]:
    try:
        return [Path(entry.path) for entry in os.scandir(folder) if entry.is_dir()]
    except FileNotFoundError:
        return []


def _tree(folder: Path) -> Iterator[Path]:
    """Innermost first."""
    for child in _children(folder):
        yield from _tree(child)
    if folder.is_dir():
        yield folder


def _pids(group: Path) -> set[int]:
    return {int(pid) for pid in (read(group / "cgroup.procs") or "").split()}


def _remove_tree(folder: Path) -> None:
    for group in _tree(folder):
        _rmdir(group)


def _rmdir(group: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            group.rmdir()
            return
        except FileNotFoundError:
            return
        except OSError as error:  # a killed process leaves its group a moment after it is gone from view
            if time.monotonic() > deadline:
                who = sorted(_pids(group))
                raise KernelRefused(f"The control group {group} is in use by processes {who}.", errno=error.errno or 0) from None
        time.sleep(0.001)
