"""Processes of this node that outlived who started them: known by files that only they name, and ended in their own way."""

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

_LOOK = 0.05  # seconds between two looks
_PROGRAMS = (b"redis-server", b"gunicorn", b"workers.serve", b"workers.supervisor")  # in their command lines, however started
_WRAPPERS = (b"env", b"nice", b"nsenter", b"setpriv", b"sh", b"unshare")  # they become another program
_PATIENCE = 30.0  # seconds that a process gets to end by itself


def managers(config: NodeConfig) -> list[int]:
    """Process managers of this node."""
    return _naming(str(config.run / "processes.conf"))


def routers(config: NodeConfig) -> list[int]:
    """HAProxy's masters and workers of this node, of every generation that still runs."""
    return _naming(str(master_socket(config)))


def programs(config: NodeConfig) -> list[int]:
    """The other processes of a manager that was killed. Each is told to end when the manager does, but one that was just being
    started then heard nothing of it. The manager's mark is in their environment, and in that of the apps' monitors, which stay.
    """
    mark = f"SUPERVISOR_SERVER_URL=unix://{control_socket(config)}".encode()
    return [pid for pid, command in _commands() if any(part in command for part in _PROGRAMS) and mark in _environment_of(pid)]


def end(pids: Iterable[int]) -> None:
    """Ask each to end, and wait; what does not in half a minute is killed."""
    waiting = set(tell(pids, signal.SIGTERM))
    deadline = time.monotonic() + _PATIENCE
    while waiting := {pid for pid in waiting if Path(f"/proc/{pid}/exe").exists()}:
        if time.monotonic() > deadline:
            tell(waiting, signal.SIGKILL)
            deadline += _PATIENCE
        time.sleep(_LOOK)


def tell(pids: Iterable[int], number: signal.Signals) -> list[int]:
    """Send a signal; those that it reached."""
    reached = []
    for pid in pids:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            continue  # it ended by itself, or we are not root, which is told soon enough
        reached.append(pid)
    return reached


def _naming(file: str) -> list[int]:
    """Processes with this file in one of their arguments, but shells and wrappers on their way to becoming them."""
    found = []
    for pid, command in _commands():
        words = command.split(b"\0")
        program = words[0].rpartition(b"/")[2]
        if program not in _WRAPPERS and any(word.split(b",")[0] == file.encode() for word in words[1:]):
            found.append(pid)
    return sorted(found)


def _commands() -> Iterator[tuple[int, bytes]]:
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError):  # it ended while we looked
            yield int(entry.name), (entry / "cmdline").read_bytes()


def _environment_of(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return []  # it ended while we looked, or is another user's, and then none of ours
