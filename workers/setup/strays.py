"""Processes of this node that outlived who started them: known by files that only they name, and ended in their own way."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

from runtime.config import NodeConfig

_LOOK = 0.05  # seconds between two looks
_PATIENCE = 30.0  # seconds that a process gets to end by itself


def managers(config: NodeConfig) -> list[int]:
    """Process managers of this node."""
    return _naming(str(config.run / "processes.conf"))


def routers(config: NodeConfig) -> list[int]:
    """HAProxy's masters and workers of this node, of every generation that still runs."""
    return _naming(str(config.run / "router-master.sock"))


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
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
        program = words[0].rpartition(b"/")[2]
        if program not in {b"setpriv", b"sh", b"unshare"} and any(word.split(b",")[0] == file.encode() for word in words[1:]):
            found.append(int(entry.name))
    return sorted(found)
