"""The removal of containers, half-made containers, and traces without a journal.

Every step may be repeated. The order is the reverse of creation. The folder is removed last, so
that a later removal can find what is left.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from runtime.containers import identity
from runtime.containers.attachment import Network
from runtime.containers.cgroups import helper_groups
from runtime.containers.cgroups.cgroup import Cgroups
from runtime.containers.folder import Folder, Made
from runtime.containers.monitor import Monitor, running_by_bundle
from runtime.errors import KernelRefused
from runtime.kernel import Kernel

_GONE = ".gone-"  # prefix of a folder that only has to be deleted
_MONITOR_PATIENCE = 10.0  # seconds for the monitor to write the exit code
_BUSY_PATIENCE = 1.0  # seconds until a mount in use is detached lazily


class Removal:
    """Removes containers. `instances` is the folder that contains all containers' folders."""

    def __init__(
        self,
        *,
        instances: Path,
        kernel: Kernel,
        cgroups: Cgroups,
        monitor: Monitor,
        network: Network | None,
    ) -> None:
        self._instances, self._kernel, self._cgroups = instances, kernel, cgroups
        self._monitor, self._network = monitor, network

    def remove(self, folder: Folder) -> None:
        """Remove all traces of a container. The caller holds the folder's lock."""
        self._end_processes(folder)
        self._monitor.forget(folder.id)
        for team in self._teams(folder):
            self._cgroups.remove(team, folder.id)
        self._unmount(folder)
        if self._network is not None:
            self._network.detach(folder.id)
        gone = folder.path.with_name(f"{_GONE}{folder.id}-{time.monotonic_ns()}")
        folder.path.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)  # a sweep may delete it at the same time

    def end(self, folder: Folder, made: Made) -> None:
        """Kill all processes of a container, and wait until its monitor wrote the exit code."""
        for team in self._teams(folder):
            self._cgroups.kill(team, folder.id)
        if made.boot != identity.boot():
            return
        identity.send(made.pid, made.pid_started, signal.SIGKILL)
        if not identity.wait(made.monitor, made.monitor_started, _MONITOR_PATIENCE):
            identity.send(made.monitor, made.monitor_started, signal.SIGKILL)

    def sweep(self, folders: Iterator[Folder]) -> list[str]:
        """Remove traces of containers that have no folder. Return log lines.

        `folders` is read after the traces are listed: a folder is created before the traces and
        removed after them.
        """
        groups, records = self._cgroups.known(), self._monitor.records()
        places = list(self._network.attachments()) if self._network is not None else []
        processes = self._processes_by_id()
        claimed = {folder.id for folder in folders}
        done: list[str] = []
        for name, pids in processes.items():
            if name not in claimed:
                _kill(pids)
                done.append(f"ended the processes of {name}, which has no folder")
        for team, name in sorted(groups):
            if name.startswith(helper_groups.PREFIX):
                if helper_groups.is_abandoned(self._cgroups, team, name, now=time.time()):
                    self._cgroups.remove(team, name)
                    done.append(f"removed the control group of {name}, whose build was killed")
            elif name not in claimed:
                self._cgroups.kill(team, name)
                self._cgroups.remove(team, name)
                done.append(f"removed the control group of {name}, which has no folder")
        for name in records:
            if name not in claimed:
                self._monitor.forget(name)
                done.append(f"removed the runtime's record of {name}, which has no folder")
        for name in places:
            if name not in claimed and self._network is not None:
                self._network.detach(name)
                done.append(f"removed the network of {name}, which has no folder")
        return [*done, *self._sweep_gone()]

    def _sweep_gone(self) -> Iterator[str]:
        for path in sorted(self._instances.glob(f"{_GONE}*")):
            for target in self._kernel.mounts_below(path):
                self._kernel.unmount(target, lazily=True)
            shutil.rmtree(path, ignore_errors=True)  # another sweep may be at it
            yield f"deleted what was left of {path.name.removeprefix(_GONE).rpartition('-')[0]}"

    def _end_processes(self, folder: Folder) -> None:
        made = folder.made()
        if made is not None:
            self.end(folder, made)
            return
        # The container is half-made: the monitor may run and be about to start another process. So
        # require two consecutive scans without processes.
        quiet, deadline = 0, time.monotonic() + _MONITOR_PATIENCE
        while quiet < 2 and time.monotonic() < deadline:
            pids = running_by_bundle().get(folder.bundle, [])
            quiet = 0 if pids else quiet + 1
            _kill(pids)
            for team in self._teams(folder):
                self._cgroups.kill(team, folder.id)

    def _teams(self, folder: Folder) -> set[int]:
        """Return the team in the journal. If that is unreadable, return all teams with this id."""
        journalled = folder.journalled()
        return (
            {journalled.spec.team}
            if journalled
            else {team for team, name in self._cgroups.known() if name == folder.id}
        )

    def _unmount(self, folder: Folder) -> None:
        """Unmount all mounts below the folder, so that nothing is deleted through a mount.

        Data of the private disk that is not written yet is dropped.
        """
        for target in self._kernel.mounts_below(folder.path):
            if target == folder.scratch:
                self._kernel.drop_unwritten(target)
            self._unmount_one(target)

    def _unmount_one(self, target: Path) -> None:
        deadline = time.monotonic() + _BUSY_PATIENCE
        while time.monotonic() < deadline:
            try:
                self._kernel.unmount(target)
                return
            except KernelRefused:  # busy: a mount namespace that is ending will release it soon
                time.sleep(0.002)
        self._kernel.unmount(target, lazily=True)

    def _processes_by_id(self) -> dict[str, list[int]]:
        return {
            bundle.parent.name: pids
            for bundle, pids in running_by_bundle().items()
            if bundle.parent.parent == self._instances
        }


def _kill(pids: list[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if pids:
        time.sleep(0.002)
