"""Control groups, which enforce limits: `<parent>/team<N>/<id>`, on version 1 and on version 2.

The groups of builds are separate, below `<parent>/builds/team<N>`. All builds together get the
spare time of processors and disks. The team's limits apply to the sum of its instances, and
separately to the sum of its builds.

See https://docs.kernel.org/admin-guide/cgroup-v2.html and
https://docs.kernel.org/admin-guide/cgroup-v1/. On a systemd host, our parent is a sibling of
systemd's slices and enables its own controllers. systemd cannot disable them while our children
use them (EBUSY).
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

INIT_PROCESSES = 1  # the platform's init does not count toward the app's limit
PERIOD = 100_000  # microseconds over which a CPU limit is counted
SMALLEST_QUOTA = 1_000  # the kernel's minimum
MONITORS = "monitors"
TEAM_MONITORS = "team-monitors"  # the monitors of running containers, with a limit per team
# Microseconds of CPU in a period for all monitors of a team: some megabytes of output per second.
MONITOR_QUOTA = 20_000
BUILDS = "builds"
PORTAL = "portal"  # the portal's own subtree: see `delegation`
_TIMEOUT = 5.0  # seconds for a group to freeze, or for an empty group to be removable
# Seconds. Processes of a build are idle to the scheduler, so on a busy machine they end slowly.
_KILL_TIMEOUT = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """The counters of a control group."""

    cpu_seconds: float
    memory_bytes: int
    processes: int
    oom_kills: int
    # The group reached its own memory limit. An OOM kill without it was due to the team's limit.
    reached_own_limit: bool
    # Attempts to start a process or thread above the limit of the group or its team. Version 2 of
    # newer kernels counts those above the team's limit for all groups of the team together.
    refused_processes: int


class Cgroups(ABC):
    """The control groups of a node.

    Every method may be called again. Removing a missing group succeeds.
    """

    def __init__(self, parent: str) -> None:
        self.parent = parent

    def path_of(self, team: int, id: str) -> str:
        """Return a group's path for the OCI runtime: below each hierarchy's root, with a slash."""
        among = f"{BUILDS}/" if any(_is_build(root, team, id) for root in self.roots) else ""
        return f"/{self.parent}/{among}team{team}/{id}"

    @property
    @abstractmethod
    def is_unified(self) -> bool:
        """Return whether this is version 2. Only its groups can be mounted in containers safely."""

    @property
    @abstractmethod
    def roots(self) -> tuple[Path, ...]:
        """Return our parent group in each hierarchy."""

    @property
    @abstractmethod
    def held(self) -> tuple[Path, ...]:
        """Return our parent group in the hierarchies for memory, processors and processes."""

    @abstractmethod
    def prepare(self) -> None:
        """Create our parent group."""

    @abstractmethod
    def create(self, team: int, id: str, limits: Limits, *, build: bool = False) -> None:
        """Create a container's group under its team's group, with its limits.

        A build's group is served after all others.
        """

    @abstractmethod
    def set_limits(self, team: int, id: str, limits: Limits) -> None:
        """Change a container's limits while it runs.

        Raises KernelRefused if the memory in use cannot be reduced to the new limit.
        """

    @abstractmethod
    def set_team_limits(self, team: int, limits: TeamLimits) -> None:
        """Change a team's limits while its containers run. Create missing groups.

        The limits apply to all its instances together, and to all its builds together.
        """

    @abstractmethod
    def counters(self, team: int, id: str) -> Counters | None:
        """Return a container's counters, or None if it has no group."""

    @abstractmethod
    def monitor_files(self) -> tuple[Path, ...]:
        """Return the files to which a monitor's pid is written.

        In that group the monitor survives when the service manager stops the group of our service.
        """

    def limit_monitor(self, team: int, pid: int) -> None:
        """Put a monitor under the CPU limit of its team's monitors. Do nothing if it has ended.

        The limit applies whatever its container prints.
        """
        with suppress(ProcessLookupError):
            (self._monitors_of(team) / "cgroup.procs").write_text(str(pid))

    @abstractmethod
    def _monitors_of(self, team: int) -> Path:
        """Return the group that limits a team's monitors. Create it if it is missing."""

    @abstractmethod
    def freeze(self, team: int, id: str, *, frozen: bool) -> None:
        """Freeze or thaw all processes of a container.

        Do nothing if there is no such group, or if this machine has no freezer.
        """

    @abstractmethod
    def reclaim(self, team: int, id: str) -> None:
        """Release a container's file cache. Do nothing if there is no such group."""

    @abstractmethod
    def is_frozen(self, team: int, id: str) -> bool:
        """Return whether a freeze was requested."""

    @abstractmethod
    def is_fully_frozen(self, team: int, id: str) -> bool:
        """Return whether all its processes are frozen, or it has none."""

    def wait_until_frozen(self, team: int, id: str) -> None:
        """Wait until all processes are frozen. Call it after `freeze`.

        Raises KernelRefused if a process is not frozen after five seconds, and HostLacks if this
        machine has no freezer.
        """
        if not self.is_frozen(team, id) and self.processes(team, id):
            what = (
                "This machine has no freezer among its control groups, so an instance cannot be"
                " frozen."
            )
            raise HostLacks(
                what, hint="Mount the freezer controller, or use control groups version 2."
            )
        deadline = time.monotonic() + _TIMEOUT
        while not self.is_fully_frozen(team, id):
            if time.monotonic() > deadline:
                what = f"The processes of container {id} do not freeze."
                raise KernelRefused(
                    what,
                    errno=errno.EBUSY,
                    hint="One hangs in the kernel; look at /proc/PID/stack.",
                )
            time.sleep(0.001)

    def known(self) -> set[tuple[int, str]]:
        """Return the team and id of each container that has a group in any hierarchy."""
        return {
            (team, group.name)
            for root in self.roots
            for team, folder in _teams(root)
            for group in _children(folder)
        }

    def processes(self, team: int, id: str) -> set[int]:
        """Return the pids in a container's group."""
        return {
            pid
            for root in self.roots
            for group in _tree(group_below(root, team, id))
            for pid in _pids(group)
        }

    def kill(self, team: int, id: str) -> None:
        """Send SIGKILL to all processes in a group, until none is left.

        Raises KernelRefused, never LaunchFailed, if some are still there after 30 seconds.
        """
        deadline = time.monotonic() + _KILL_TIMEOUT
        while pids := self.processes(team, id):
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            self.freeze(team, id, frozen=False)  # on version 1, frozen processes do not end
            if time.monotonic() > deadline:
                what = f"Processes {sorted(pids)} of container {id} do not end."
                raise KernelRefused(
                    what,
                    errno=errno.EBUSY,
                    hint="They hang in the kernel; look at /proc/PID/stack.",
                )
            time.sleep(0.001)

    def remove(self, team: int, id: str) -> None:
        """Remove a container's group in every hierarchy, with all groups inside it."""
        for root in self.roots:
            for among in (root, root / BUILDS):
                _remove_tree(among / f"team{team}" / id)

    def remove_all(self) -> None:
        """Remove our parent group with all groups below it.

        Their processes must have ended. Only monitors and processes of the portal's subtree (git)
        are killed here.
        """
        for root in self.roots:
            for group in (root / MONITORS, *_tree(root / TEAM_MONITORS), *_tree(root / PORTAL)):
                for pid in _pids(group):
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            _remove_tree(root)


def group_below(root: Path, team: int, id: str) -> Path:
    """Return a container's group below our parent group in one hierarchy."""
    return (root / BUILDS if _is_build(root, team, id) else root) / f"team{team}" / id


def quota_of(cpu: int) -> int:
    """Convert millicores to microseconds of CPU in a period."""
    return max(cpu * PERIOD // 1000, SMALLEST_QUOTA)


def read(path: Path) -> str | None:
    """Return a control file's text, or None if its group is gone."""
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    except OSError as error:
        if error.errno == errno.ENODEV:  # the group was removed while the file was open
            return None
        raise


def write(path: Path, value: int | str) -> None:
    """Write a control file. Raises KernelRefused, which names the file."""
    try:
        # str() of Bytes has a unit.
        path.write_text(str(int(value)) if isinstance(value, int) else value)
    except OSError as error:
        code = error.errno or 0
        raise KernelRefused(
            f"The kernel did not accept {value} for {path}: {os.strerror(code)}.",
            errno=code,
            hint=_HINTS.get(code, ""),
        ) from None


@contextmanager
def unless_gone() -> Iterator[None]:
    """Ignore KernelRefused if the group is gone. For groups that may be removed at any time."""
    try:
        yield
    except KernelRefused as refused:
        if refused.errno not in (errno.ENOENT, errno.ENODEV):
            raise


_HINTS = {
    errno.EBUSY: "More is in use than the new limit allows; restart the instance to apply it.",
    errno.ENOENT: "The container no longer exists, or this kernel lacks the controller.",
    errno.ENOSPC: "The kernel's limit on the number of control groups is reached.",
}


def flat(text: str | None) -> dict[str, int]:
    """Parse lines of the form `name value`."""
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
    """Yield the groups of a subtree, innermost first."""
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
    deadline = time.monotonic() + _TIMEOUT
    while True:
        try:
            group.rmdir()
            return
        except FileNotFoundError:
            return
        except OSError as error:  # a killed process stays in its group briefly after it disappears
            if time.monotonic() > deadline:
                pids = sorted(_pids(group))
                raise KernelRefused(
                    f"The control group {group} is in use by processes {pids}.",
                    errno=error.errno or 0,
                ) from None
        time.sleep(0.001)
