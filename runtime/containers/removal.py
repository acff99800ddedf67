"""Taking containers away: whole ones, half-made ones, and traces nobody's journal claims. Every step may be repeated.

The order is the reverse of creation, the folder last: while anything is left, it can be found.
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
from runtime.containers.monitor import Monitor, at_work
from runtime.errors import KernelRefused
from runtime.kernel import Kernel

_GONE = ".gone-"  # a folder that only has to be deleted
_MONITOR_PATIENCE = 10.0  # seconds to write the exit code
_BUSY_PATIENCE = 1.0  # seconds until a mount in use is detached lazily


class Removal:
    """`instances` is the folder of all containers' folders."""

    def __init__(self, *, instances: Path, kernel: Kernel, cgroups: Cgroups, monitor: Monitor, network: Network | None) -> None:
        self._instances, self._kernel, self._cgroups = instances, kernel, cgroups
        self._monitor, self._network = monitor, network

    def remove(self, folder: Folder) -> None:
        """Whatever there is of a container. The caller has claimed the folder."""
        self._end_processes(folder)
        self._monitor.forget(folder.id)
        for team in self._teams(folder):
            self._cgroups.remove(team, folder.id)
        self._unmount(folder)
        if self._network is not None:
            self._network.detach(folder.id)
        gone = folder.path.with_name(f"{_GONE}{folder.id}-{time.monotonic_ns()}")
        folder.path.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)  # a sweep may be at it too, and does the rest

    def end(self, folder: Folder, made: Made) -> None:
        """SIGKILL to all of a whole container, and its exit code written by its monitor."""
        for team in self._teams(folder):
            self._cgroups.kill(team, folder.id)
        if made.boot != identity.boot():
            return
        identity.send(made.pid, made.pid_started, signal.SIGKILL)
        if not identity.wait(made.monitor, made.monitor_started, _MONITOR_PATIENCE):
            identity.send(made.monitor, made.monitor_started, signal.SIGKILL)

    def sweep(self, folders: Iterator[Folder]) -> list[str]:
        """Traces without a folder. `folders` is read after the traces were listed: a folder is made before and removed after them."""
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
        # Half-made: the monitor may be at work this moment, and what it starts next is not there yet. Twice nobody is nobody.
        quiet, deadline = 0, time.monotonic() + _MONITOR_PATIENCE
        while quiet < 2 and time.monotonic() < deadline:
            pids = at_work().get(folder.bundle, [])
            quiet = 0 if pids else quiet + 1
            _kill(pids)
            for team in self._teams(folder):
                self._cgroups.kill(team, folder.id)

    def _teams(self, folder: Folder) -> set[int]:
        """Usually the journal's; all that know the id where it is unreadable."""
        journalled = folder.journalled()
        return {journalled.spec.team} if journalled else {team for team, name in self._cgroups.known() if name == folder.id}

    def _unmount(self, folder: Folder) -> None:
        """All mounts below the folder: nothing may be deleted through one. The private disk is not written back first."""
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
            except KernelRefused:  # busy: a dying mount namespace lets go in a moment
                time.sleep(0.002)
        self._kernel.unmount(target, lazily=True)

    def _processes_by_id(self) -> dict[str, list[int]]:
        return {bundle.parent.name: pids for bundle, pids in at_work().items() if bundle.parent.parent == self._instances}


def _kill(pids: list[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if pids:
        time.sleep(0.002)
