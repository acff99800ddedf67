"""One instance's folder: where each of its files lives, and its journal's form.

    container.json   the spec and when it was made; written first, so that whatever follows can be found and removed
    made.json        pid, monitor, address; written last: without it the container is half-made
    started.json     when it was told to start
    ended.json       how it ended, kept once it was seen
    bundle/          config.json for the OCI runtime
    scratch.img      its private disk, mounted at scratch/ (upper, work, tmp, and etc: its own hosts, hostname and resolv.conf)
    rootfs/          the union it sees as /
    exit/ID          the exit code, written by the monitor
    console.log      what it printed, written by the monitor (k8s-file format)

None of it outlives a reboot with meaning, so nothing is synced to disk: kill -9 of a writer cannot tear a rename.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from runtime import journal
from runtime.containers.container import Exit
from runtime.containers.spec import Bind, ContainerSpec, Limits, Purpose, Temporary
from runtime.contract.quantities import Bytes, Millicores


@dataclass(frozen=True, slots=True, kw_only=True)
class Journalled:
    """container.json."""

    spec: ContainerSpec
    created_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """made.json. A process is known by pid and start time together: pids come round again (proc_pid_stat(5), field 22)."""

    pid: int
    pid_started: int
    monitor: int
    monitor_started: int
    boot: str
    address: str | None


@dataclass(frozen=True, slots=True)
class Folder:
    """Paths below one instance's folder, and its journal."""

    path: Path

    @property
    def id(self) -> str:
        """The container's id is the folder's name."""
        return self.path.name

    @property
    def bundle(self) -> Path:
        """What the OCI runtime is pointed at."""
        return self.path / "bundle"

    @property
    def rootfs(self) -> Path:
        """Where the union is mounted."""
        return self.path / "rootfs"

    @property
    def scratch(self) -> Path:
        """Where the private disk is mounted."""
        return self.path / "scratch"

    @property
    def image(self) -> Path:
        """The private disk's file."""
        return self.path / "scratch.img"

    @property
    def clones(self) -> Path:
        """Where id-mapped layers are attached for a moment, on kernels that need that."""
        return self.path / "layers"

    @property
    def etc(self) -> Path:
        """The container's own files of /etc: on its disk, because it sees the path that a bind has below its file system's root."""
        return self.scratch / "etc"

    @property
    def exits(self) -> Path:
        """Where the monitor writes the exit code."""
        return self.path / "exit"

    @property
    def console(self) -> Path:
        """What the container printed."""
        return self.path / "console.log"

    @property
    def monitor_pid(self) -> Path:
        """Written by the monitor."""
        return self.path / "monitor.pid"

    def make(self) -> None:
        """The folders. The container's root must be able to pass through, and sees nothing: files are 0600."""
        self.path.mkdir(mode=0o711)
        for folder in (self.bundle, self.rootfs, self.scratch, self.exits):
            folder.mkdir(mode=0o711)

    @contextmanager
    def claimed(self, *, wait: bool = True) -> Iterator[bool]:
        """Hold this folder alone. False: it does not exist (any more), or another holds it and we do not wait."""
        while True:
            if not self.path.is_dir():
                yield False
                return
            try:
                fd = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except FileNotFoundError:
                continue  # removed since we looked
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
        """Whether the lock we got is still this folder's: while we waited it may have been removed, or made anew."""
        try:
            return os.path.samestat(os.fstat(fd), (self.path / "lock").stat())
        except FileNotFoundError:
            return False

    def write_journalled(self, value: Journalled) -> None:
        """Say what this container is to be."""
        journal.write_json(self.path / "container.json", {"spec": spec_record(value.spec), "created_at": value.created_at}, durable=False)

    def journalled(self) -> Journalled | None:
        """None: no journal, or one cut short by a power failure."""
        if (value := self._read("container.json")) is None:
            return None
        try:
            return Journalled(spec=read_spec(value["spec"]), created_at=value["created_at"])
        except (KeyError, TypeError, ValueError):
            return None

    def write_made(self, value: Made) -> None:
        """Say that creation is complete."""
        journal.write_json(self.path / "made.json", asdict(value), durable=False)

    def made(self) -> Made | None:
        """None: half-made."""
        value = self._read("made.json")
        return Made(**value) if value else None

    def write_started(self, at: float) -> None:
        """Say that it was told to start."""
        journal.write_json(self.path / "started.json", {"at": at}, durable=False)

    def started_at(self) -> float | None:
        """When it was told to start."""
        value = self._read("started.json")
        return float(value["at"]) if value else None

    def write_reason(self, because: str) -> None:
        """Say why we are about to end it."""
        journal.write_json(self.path / "reason.json", {"because": because}, durable=False)

    def reason(self) -> str:
        """Why we ended it; empty if we did not."""
        value = self._read("reason.json")
        return str(value["because"]) if value else ""

    def write_ended(self, value: Exit) -> None:
        """Keep how it ended."""
        journal.write_json(self.path / "ended.json", asdict(value), durable=False)

    def ended(self) -> Exit | None:
        """How it ended, if that was seen before."""
        if (value := self._read("ended.json")) is None:
            return None
        return Exit(**{**value, "memory": None if value["memory"] is None else Bytes(value["memory"])})

    def exit_code(self) -> tuple[int, float] | None:
        """What the monitor wrote, and when."""
        path = self.exits / self.id
        try:
            return int(path.read_text()), path.stat().st_mtime
        except (FileNotFoundError, ValueError):  # not there, or being written
            return None

    def _read(self, name: str) -> Any:  # JSON of our own making; each reader above gives it a type
        try:
            return journal.read_json(self.path / name)
        except ValueError:
            return None


def spec_record(spec: ContainerSpec) -> dict[str, Any]:
    """A spec as JSON has it."""
    limits = spec.limits
    return {
        "id": spec.id,
        "app": spec.app,
        "team": spec.team,
        "layers": [str(layer) for layer in spec.layers],
        "command": list(spec.command),
        "environment": dict(spec.environment),
        "working_directory": spec.working_directory,
        "uid": spec.uid,
        "gid": spec.gid,
        "limits": {"cpu": limits.cpu, "memory": limits.memory, "processes": limits.processes, "disk": limits.disk},
        "groups": list(spec.groups),
        "temporaries": [{"target": one.target, "size": int(one.size)} for one in spec.temporaries],
        "own_tmp": spec.own_tmp,
        "networked": spec.networked,
        "binds": [{"source": str(bind.source), "target": bind.target, "writable": bind.writable} for bind in spec.binds],
        "purpose": spec.purpose.value,
        "labels": dict(spec.labels),
    }


def read_spec(value: dict[str, Any]) -> ContainerSpec:
    """The inverse. KeyError, TypeError or ValueError: not written by us."""
    limits = value["limits"]
    return ContainerSpec(
        id=value["id"],
        app=value["app"],
        team=value["team"],
        layers=tuple(Path(layer) for layer in value["layers"]),
        command=tuple(value["command"]),
        environment=value["environment"],
        working_directory=value["working_directory"],
        uid=value["uid"],
        gid=value["gid"],
        limits=Limits(
            cpu=Millicores(limits["cpu"]), memory=Bytes(limits["memory"]), processes=limits["processes"], disk=Bytes(limits["disk"])
        ),
        groups=tuple(value.get("groups", ())),  # absent in what an earlier release wrote
        temporaries=tuple(Temporary(target=one["target"], size=Bytes(one["size"])) for one in value.get("temporaries", ())),
        own_tmp=value.get("own_tmp", True),
        networked=value.get("networked", True),
        binds=tuple(Bind(source=Path(bind["source"]), target=bind["target"], writable=bind["writable"]) for bind in value["binds"]),
        purpose=Purpose(value["purpose"]),
        labels=value["labels"],
    )
