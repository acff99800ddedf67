"""conmon and the OCI runtime.

Each container has a small monitor process, conmon. It keeps the log and the exit code even when
platform processes restart. A byte on the start pipe starts it. It answers with a line of JSON on
the sync pipe. See https://github.com/containers/conmon.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import time
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path

from runtime.containers import identity
from runtime.containers.folder import Folder
from runtime.errors import HostLacks, LaunchFailed, ProcessFailed
from runtime.kernel import Kernel
from runtime.process import StillRunning, run, spawn

PROGRAM_FOLDERS = tuple(
    map(
        Path,
        (
            "/usr/bin",
            "/usr/sbin",
            "/usr/local/bin",
            "/usr/local/sbin",
            "/bin",
            "/usr/libexec/podman",
            "/usr/libexec/catatonit",
        ),
    )
)
# Bytes. The supervisor rotates the log long before. If it does not run, this limit keeps the host's
# disk from filling up.
CONSOLE_MOST = 256 * 2**20
_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
_TIMEOUT = 30.0  # seconds for the creation of a container
_BUILD_TIMEOUT = 300.0  # seconds, for builds: their processes are idle to the scheduler


class Monitor:
    """Starts containers from their bundles.

    `state` is the OCI runtime's own folder. It must not survive a reboot.
    """

    def __init__(self, state: Path, kernel: Kernel) -> None:
        self._state, self._kernel = state, kernel

    def prepare(self) -> None:
        """Create the runtime's folder. Raises HostLacks if a program is not installed."""
        self._state.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in ("conmon", "crun", "catatonit"):
            program(name)

    def create(self, folder: Folder, cgroup: Iterable[Path], *, build: bool) -> tuple[int, int]:
        """Create a container. Return the pid of its init and the pid of its monitor.

        Raises LaunchFailed with the runtime's own message.
        """
        patience = _BUILD_TIMEOUT if build else _TIMEOUT
        sync_read, sync_write = os.pipe()
        start_read, start_write = os.pipe()
        try:
            environment = {
                **_ENVIRONMENT,
                "_OCI_SYNCPIPE": str(sync_write),
                "_OCI_STARTPIPE": str(start_read),
            }
            with (folder.path / "monitor.log").open("wb") as words:
                process = spawn(
                    self._command(folder),
                    stdout=words,
                    stderr=words,
                    env=environment,
                    pass_fds=(sync_write, start_read),
                    cwd=folder.path,
                )
            os.close(sync_write)
            sync_write = -1
            for file in cgroup:
                file.write_text(str(process.pid))
            os.write(start_write, b"\0")
            try:
                process.wait(patience)  # conmon continues in the background
                return _created_pid(folder, sync_read, patience), int(
                    folder.monitor_pid.read_text()
                )
            except (StillRunning, FileNotFoundError, ValueError) as error:
                raise LaunchFailed(
                    f"The monitor of container {folder.id} did not start ({error})."
                    f"{_monitor_output(folder)}"
                ) from None
        finally:
            for fd in (sync_read, sync_write, start_read, start_write):
                if fd >= 0:
                    os.close(fd)

    def start(self, id: str, *, build: bool) -> None:
        """Start the command of a created container."""
        patience = _BUILD_TIMEOUT if build else _TIMEOUT
        try:
            run([program("crun"), *self._globals, "start", id], env=_ENVIRONMENT, timeout=patience)
        except ProcessFailed as failure:
            raise LaunchFailed(f"Could not start container {id}: {failure.what}") from None

    @property
    def runtime(self) -> tuple[str, ...]:
        """Return the runtime with its global options, for commands that use control groups."""
        return (*self._runtime, *self._globals)

    def is_waiting(self, id: str) -> bool:
        """Return whether a container waits for its start: the runtime's FIFO still exists."""
        return (self._state / id / "exec.fifo").exists()

    def forget(self, id: str) -> None:
        """Delete the runtime's record of a container.

        The removal has already done all else that the runtime's `delete` does. This saves 15 ms.
        """
        shutil.rmtree(self._state / id, ignore_errors=True)

    def tear_down(self) -> None:
        """Remove the folder that `prepare` created."""
        shutil.rmtree(self._state, ignore_errors=True)

    def records(self) -> list[str]:
        """Return the ids of containers that the runtime has a record of."""
        try:
            return [entry.name for entry in self._state.iterdir() if entry.is_dir()]
        except FileNotFoundError:
            return []

    @cached_property
    def _runtime(self) -> tuple[str, ...]:
        """Return the command that starts the runtime.

        The runtime does not support a host with both control group versions ("hybrid"). There it
        gets a mount namespace in which a tmpfs hides cgroup2. An unmount instead would expose the
        folder below, where the runtime would leave folders permanently. The propagation is `slave`,
        because a private mount namespace would not see network namespaces that are pinned later.
        """
        runtime = str(program("crun"))
        if (unified := _cgroup2_beside_version_1(self._kernel)) is None:
            return (runtime,)
        script = f'{program("mount")} -t tmpfs none {unified} && exec {runtime} "$@"'
        return (
            str(program("unshare")),
            "--mount",
            "--propagation=slave",
            "/bin/sh",
            "-c",
            script,
            runtime,
        )

    @property
    def _globals(self) -> Sequence[str]:
        return ("--cgroup-manager=cgroupfs", "--root", str(self._state))

    def _command(self, folder: Folder) -> list[str | Path]:
        runtime, *arguments = self.runtime
        runtime_arguments = [f"--runtime-arg={argument}" for argument in arguments]
        identity_words = ["--api-version", "1", "-c", folder.id, "-u", folder.id, "-n", folder.id]
        places: list[str | Path] = [
            "-b",
            folder.bundle,
            "-p",
            folder.path / "container.pid",
            "--conmon-pidfile",
            folder.monitor_pid,
        ]
        log = [
            "-l",
            f"k8s-file:{folder.console}",
            "--no-sync-log",
            "--log-size-max",
            str(CONSOLE_MOST),
        ]
        ends: list[str | Path] = ["--exit-dir", folder.exits, "--full-attach"]
        return [
            program("conmon"),
            *identity_words,
            "-r",
            runtime,
            *runtime_arguments,
            *places,
            *log,
            *ends,
        ]


def program(name: str) -> Path:
    """Return the path of a program. Raises HostLacks if it is not installed."""
    for folder in PROGRAM_FOLDERS:
        for place in (folder / name, folder):
            if place.name == name and place.is_file():
                return place
    raise HostLacks(
        f"The program {name} is not installed on this machine.",
        hint=f"Install the package {name}, or run `make up`.",
    )


def _cgroup2_beside_version_1(kernel: Kernel) -> Path | None:
    mounts = kernel.mounts()
    if not any(mount.kind == "cgroup" for mount in mounts):
        return None
    return next((mount.target for mount in mounts if mount.kind == "cgroup2"), None)


def _created_pid(folder: Folder, sync: int, patience: float) -> int:
    line, deadline = b"", time.monotonic() + patience
    while not line.endswith(b"\n"):
        readable, _, _ = select.select([sync], [], [], max(deadline - time.monotonic(), 0))
        if not readable:
            what = f"The monitor of container {folder.id} did not answer within {patience:g} s."
            raise LaunchFailed(what, hint="This machine is very busy. The platform tries again.")
        chunk = os.read(sync, 65_536)
        if not chunk:
            break
        line += chunk
    try:
        answer = json.loads(line)
    except ValueError:
        raise LaunchFailed(
            f"The monitor of container {folder.id} ended without an answer."
            f"{_monitor_output(folder)}"
        ) from None
    pid = int(answer["data"])
    if pid <= 0:
        raise LaunchFailed(
            f"Could not create container {folder.id}:"
            f" {answer.get('message', '').strip() or 'no reason given'}.{_monitor_output(folder)}"
        )
    return pid


def _monitor_output(folder: Folder) -> str:
    text = (folder.path / "monitor.log").read_text(errors="replace").strip()
    return f" The monitor said: {text[-1000:]}" if text else ""


def running_by_bundle() -> dict[Path, list[int]]:
    """Return the pids of monitors and runtimes by their bundle.

    Removal finds processes of incomplete containers with it.
    """
    found: dict[Path, list[int]] = {}
    for pid, words in identity.command_lines():
        for option, value in pairwise(words):
            if (
                option in ("-b", "--bundle")
                and value.startswith("/")
                and any("conmon" in word or "crun" in word for word in words)
            ):
                found.setdefault(Path(value), []).append(pid)
    return found
