"""Stray processes of this node: those that outlived the process that started them.

They are found by files that only they name in their command lines or environments.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from runtime.config import NodeConfig
from runtime.router.haproxy import master_socket
from workers.setup.processes import control_socket

_POLL_SECONDS = 0.05  # seconds between two looks
# Parts of their command lines, however they were started.
_PROGRAMS = (b"redis-server", b"gunicorn", b"workers.serve", b"workers.supervisor")
# They execute another program.
_WRAPPERS = (b"env", b"nice", b"nsenter", b"setpriv", b"sh", b"unshare")
_TIMEOUT = 30.0  # seconds until a process that does not end is killed


def managers(config: NodeConfig) -> list[int]:
    """Return the process managers of this node."""
    return _processes_with_argument(str(config.run / "processes.conf"))


def routers(config: NodeConfig) -> list[int]:
    """Return all HAProxy masters and workers of this node, old ones too."""
    return _processes_with_argument(str(master_socket(config)))


def programs(config: NodeConfig) -> list[int]:
    """Return the other processes of a killed manager.

    Each of them gets a signal when the manager ends, except one that was just being started. The
    manager sets a variable in their environment. The apps' monitors have it too, but are not
    returned.
    """
    mark = f"SUPERVISOR_SERVER_URL=unix://{control_socket(config)}".encode()
    return [
        pid
        for pid, command in _commands()
        if any(part in command for part in _PROGRAMS) and mark in _environment_of(pid)
    ]


def end(pids: Iterable[int]) -> None:
    """Send SIGTERM to each process, and wait. After half a minute, kill those that still run."""
    waiting = set(signal_processes(pids, signal.SIGTERM))
    deadline = time.monotonic() + _TIMEOUT
    while waiting := {pid for pid in waiting if Path(f"/proc/{pid}/exe").exists()}:
        if time.monotonic() > deadline:
            signal_processes(waiting, signal.SIGKILL)
            deadline += _TIMEOUT
        time.sleep(_POLL_SECONDS)


def signal_processes(pids: Iterable[int], number: signal.Signals) -> list[int]:
    """Send a signal. Return the processes that received it."""
    reached = []
    for pid in pids:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            continue  # it ended by itself, or we are not root, which a later step reports
        reached.append(pid)
    return reached


def _processes_with_argument(file: str) -> list[int]:
    """Return processes with this file in their arguments, except the shells and wrappers."""
    found = []
    for pid, command in _commands():
        words = command.split(b"\0")
        program = words[0].rpartition(b"/")[2]
        if program not in _WRAPPERS and any(
            word.split(b",")[0] == file.encode() for word in words[1:]
        ):
            found.append(pid)
    return sorted(found)


def _commands() -> Iterator[tuple[int, bytes]]:
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError):  # it ended meanwhile
            yield int(entry.name), (entry / "cmdline").read_bytes()


def _environment_of(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return []  # it ended meanwhile, or belongs to another user, and then it is not ours
