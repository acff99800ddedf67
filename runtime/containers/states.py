"""The states of containers, from their folders, processes and control groups."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from runtime.containers import identity
from runtime.containers.cgroups.cgroup import Cgroups
from runtime.containers.container import Container, Exit, Status, Usage, exit_of
from runtime.containers.disk import scratch
from runtime.containers.folder import Folder, Made
from runtime.containers.monitor import Monitor
from runtime.containers.spec import ContainerSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class States:
    """The states of this node's containers. Control groups are opened at their first use."""

    cgroups: Callable[[], Cgroups]
    monitor: Monitor

    def of(self, folder: Folder) -> Container | None:
        """Return the container's current state, or None if it does not exist."""
        journalled, made = folder.journalled(), folder.made()
        if journalled is None:
            return None
        ended = self._ended(folder, journalled.spec) if made else None
        return Container(
            id=folder.id,
            spec=journalled.spec,
            status=self._status(folder, made, ended),
            pid=made.pid if made and ended is None and is_running(made) else None,
            address=made.address if made else None,
            created_at=journalled.created_at,
            started_at=folder.started_at(),
            exit=ended,
        )

    def usage(self, folder: Folder) -> Usage | None:
        """Return the container's resource usage, or None if its kernel resources are gone."""
        journalled = folder.journalled()
        counted = self.cgroups().counters(journalled.spec.team, folder.id) if journalled else None
        if counted is None:
            return None
        return Usage(
            cpu_seconds=counted.cpu_seconds,
            memory_bytes=counted.memory_bytes,
            processes=counted.processes,
            disk_bytes=scratch.used(folder.scratch) if folder.scratch.is_mount() else 0,
            oom_kills=counted.oom_kills,
            refused_processes=counted.refused_processes,
        )

    def _status(self, folder: Folder, made: Made | None, ended: Exit | None) -> Status:
        if ended is not None:
            return Status.EXITED
        if made is None:
            with folder.claimed(wait=False) as held:
                return Status.BROKEN if held else Status.CREATED  # another process is creating it
        if not _is_watched(made):
            return Status.BROKEN
        return Status.CREATED if self.monitor.is_waiting(folder.id) else Status.RUNNING

    def _ended(self, folder: Folder, spec: ContainerSpec) -> Exit | None:
        if (known := folder.ended()) is not None:
            return known
        made = folder.made()
        # Check the monitor first: it writes the exit code before it ends.
        gone = made is not None and not _is_watched(made)
        if (code := folder.exit_code()) is None:
            return None
        counted = self.cgroups().counters(spec.team, spec.id)
        ended = exit_of(
            code[0],
            at=code[1],
            oom_kills=counted.oom_kills if counted else 0,
            memory=spec.limits.memory,
            of_team=counted is not None and not counted.reached_own_limit,
            because=folder.reason(),
        )
        if gone:
            with suppress(FileNotFoundError):  # removed by another process
                folder.write_ended(ended)
        return ended


def is_running(made: Made) -> bool:
    """Return whether the container's first process runs."""
    return made.boot == identity.boot() and identity.is_alive(made.pid, made.pid_started)


def _is_watched(made: Made) -> bool:
    """Return whether the monitor runs. Without it there is no log and no exit code."""
    return made.boot == identity.boot() and identity.is_alive(made.monitor, made.monitor_started)
