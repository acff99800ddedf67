"""Execution of an additional command inside a running container.

The command has the container's user, environment, limits and seccomp program. Its output comes
from the tenant and may be endless: only the last bytes are kept. After the timeout all its
processes are killed.
"""

from __future__ import annotations

import json
import os
import select
import signal
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from runtime.containers.folder import Folder, Made
from runtime.process import PIPE, Running, StillRunning, spawn

KEPT = 2048  # bytes of output
_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Executed:
    """Result of a command. `code` is None if it reached its timeout."""

    code: int | None
    output: str  # the end of both streams


def execute(
    runtime: Sequence[str], folder: Folder, made: Made, command: Sequence[str], *, timeout: float
) -> Executed:
    """Run a command in a container and return its exit code and output.

    `runtime` is the OCI runtime with its global options. Raises ProcessFailed or HostLacks if the
    runtime cannot be started.
    """
    process = json.loads((folder.bundle / "config.json").read_text())["process"]
    process |= {"args": list(command), "terminal": False}
    with tempfile.TemporaryDirectory(prefix="exec-", dir=folder.path) as place:
        description, pid_file = Path(place, "process.json"), Path(place, "pid")
        description.write_text(json.dumps(process))
        words: list[str | Path] = [
            *runtime,
            "exec",
            "--process",
            description,
            "--pid-file",
            pid_file,
            folder.id,
        ]
        child = spawn(words, stdout=PIPE, stderr=PIPE, env=_ENVIRONMENT)
        try:
            output, in_time = _follow(child, time.monotonic() + timeout)
        finally:
            _end(child, pid_file, made)
    return Executed(
        code=child.returncode if in_time else None, output=output.decode(errors="replace").strip()
    )


def _follow(child: Running[bytes], deadline: float) -> tuple[bytes, bool]:
    """Return the end of the output, and whether the command ended before `deadline`.

    Do not wait for grandchildren that keep the pipes open.
    """
    kept = b""
    pidfd = os.pidfd_open(child.pid)
    pipes = [pipe.fileno() for pipe in (child.stdout, child.stderr) if pipe is not None]
    try:
        while True:
            ready, _, _ = select.select(
                [pidfd, *pipes], [], [], max(deadline - time.monotonic(), 0)
            )
            for fd in [fd for fd in ready if fd != pidfd]:
                chunk = os.read(fd, 65_536)
                kept = (kept + chunk)[-KEPT:]
                if not chunk:
                    pipes.remove(fd)
            if pidfd in ready:
                child.wait()
                return kept, True
            if time.monotonic() >= deadline:
                return kept, False
    finally:
        os.close(pidfd)


def _end(child: Running[bytes], pid_file: Path, made: Made) -> None:
    """Kill the command's process group inside the container, then the runtime that waits for it."""
    if child.poll() is None:
        with suppress(OSError, ValueError):  # it has not started yet, or has just ended
            pid = int(pid_file.read_text())
            group = os.getpgid(pid)  # the runtime created a session for it, whose leader has ended
            if os.getsid(pid) == group not in (os.getsid(0), child.pid) and _is_inside(pid, made):
                os.killpg(group, signal.SIGKILL)
        with suppress(StillRunning):
            child.wait(1)
        if child.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
    for pipe in (child.stdout, child.stderr):
        if pipe is not None:
            pipe.close()


def _is_inside(pid: int, made: Made) -> bool:
    return Path(f"/proc/{pid}/ns/pid").readlink() == Path(f"/proc/{made.pid}/ns/pid").readlink()
