"""The folder of a container: its files, and the format of its journal.

    container.json   the spec and the time of creation. Written first, for removal to find the rest
    made.json        pid, monitor, address. Written last: without it the container is half-made
    started.json     the time of the start
    ended.json       the exit, kept after it was first observed
    bundle/          config.json for the OCI runtime
    scratch.img      the private disk, mounted at scratch/ (upper, work, tmp, and etc for hosts,
                     hostname, resolv.conf)
    rootfs/          the overlay mount that is / inside the container
    exit/ID          the exit code, written by the monitor
    console.log      the container's output, written by the monitor (k8s-file format)

After a reboot none of these files is of use, so nothing is synced to disk. A rename is atomic even
if its writer is killed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime import journal
from runtime.containers.container import Exit
from runtime.containers.spec import ContainerSpec
from runtime.contract.json_values import from_json, to_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Journalled:
    """The content of container.json."""

    spec: ContainerSpec
    created_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """The content of made.json.

    A process is identified by pid and start time, because the kernel reuses pids
    (proc_pid_stat(5), field 22).
    """

    pid: int
    pid_started: int
    monitor: int
    monitor_started: int
    boot: str
    address: str | None


@dataclass(frozen=True, slots=True)
class Folder:
    """Paths below a container's folder, and its journal."""

    path: Path

    @property
    def id(self) -> str:
        """Return the container's id: the name of the folder."""
        return self.path.name

    @property
    def bundle(self) -> Path:
        """Return the path of the bundle for the OCI runtime."""
        return self.path / "bundle"

    @property
    def rootfs(self) -> Path:
        """Return the mount point of the overlay."""
        return self.path / "rootfs"

    @property
    def scratch(self) -> Path:
        """Return the mount point of the private disk."""
        return self.path / "scratch"

    @property
    def image(self) -> Path:
        """Return the path of the private disk's file."""
        return self.path / "scratch.img"

    @property
    def clones(self) -> Path:
        """Return the folder for id-mapped layers, which some kernels need attached briefly."""
        return self.path / "layers"

    @property
    def etc(self) -> Path:
        """Return the folder of the container's own files of /etc.

        It is on the private disk, because a container can see a bind mount's path below its file
        system's root.
        """
        return self.scratch / "etc"

    @property
    def exits(self) -> Path:
        """Return the folder in which the monitor writes the exit code."""
        return self.path / "exit"

    @property
    def console(self) -> Path:
        """Return the path of the file with the container's output."""
        return self.path / "console.log"

    @property
    def monitor_pid(self) -> Path:
        """Return the path of the monitor's pid file. The monitor writes it."""
        return self.path / "monitor.pid"

    def make(self) -> None:
        """Create the folders.

        The container's root user can traverse them, but cannot read their files (mode 0600).
        """
        self.path.mkdir(mode=0o711)
        for folder in (self.bundle, self.rootfs, self.scratch, self.exits):
            folder.mkdir(mode=0o711)

    @contextmanager
    def claimed(self, *, wait: bool = True) -> Iterator[bool]:
        """Lock this folder. Yield whether the lock is held.

        It is not held if the folder does not exist, or if another process holds it and `wait` is
        false.
        """
        while True:
            if not self.path.is_dir():
                yield False
                return
            try:
                fd = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except FileNotFoundError:
                continue  # removed after the check
            try:
                if not journal.take(fd, blocking=wait):
                    yield False
                    return
                if self._is_ours(fd):
                    yield True
                    return
            finally:
                os.close(fd)

    def _is_ours(self, fd: int) -> bool:
        """Return whether the lock file still belongs to this folder.

        The folder may have been removed, or created again, while this process waited.
        """
        try:
            return os.path.samestat(os.fstat(fd), (self.path / "lock").stat())
        except FileNotFoundError:
            return False

    def write_journalled(self, value: Journalled) -> None:
        """Record the container's spec."""
        journal.write_json(
            self.path / "container.json",
            to_json(value),
            durable=False,
        )

    def journalled(self) -> Journalled | None:
        """Return the recorded spec, or None if it is missing or truncated by a power failure."""
        if (value := self._read("container.json")) is None:
            return None
        try:
            return from_json(value, Journalled)
        except ValueError:
            return None

    def write_made(self, value: Made) -> None:
        """Record that the creation is complete."""
        journal.write_json(self.path / "made.json", to_json(value), durable=False)

    def made(self) -> Made | None:
        """Return the record of the complete creation, or None if the container is half-made."""
        value = self._read("made.json")
        return from_json(value, Made) if value else None

    def write_started(self, at: float) -> None:
        """Record the time of the start."""
        journal.write_json(self.path / "started.json", {"at": at}, durable=False)

    def started_at(self) -> float | None:
        """Return the time of the start, or None if it was not started."""
        value = self._read("started.json")
        return float(value["at"]) if value else None

    def write_reason(self, because: str) -> None:
        """Record why the platform is about to end the container."""
        journal.write_json(self.path / "reason.json", {"because": because}, durable=False)

    def reason(self) -> str:
        """Return why the platform ended the container; empty if it did not."""
        value = self._read("reason.json")
        return str(value["because"]) if value else ""

    def write_ended(self, value: Exit) -> None:
        """Record the container's exit."""
        journal.write_json(self.path / "ended.json", to_json(value), durable=False)

    def ended(self) -> Exit | None:
        """Return the recorded exit, or None."""
        value = self._read("ended.json")
        return from_json(value, Exit) if value else None

    def exit_code(self) -> tuple[int, float] | None:
        """Return the exit code that the monitor wrote, and the time; None if there is none."""
        path = self.exits / self.id
        try:
            return int(path.read_text()), path.stat().st_mtime
        except (FileNotFoundError, ValueError):  # missing, or being written
            return None

    def _read(self, name: str) -> Any:  # our own JSON; each caller above checks its type
        try:
            return journal.read_json(self.path / name)
        except ValueError:
            return None
