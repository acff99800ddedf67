"""The processes of a platform by their part, and kill -9 of one of them.

They are found by files and marks that only they have.
"""

import os
import random
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from runtime.config import NodeConfig
from runtime.containers.folder import Folder
from workers.setup import strays

LAUNCH = "crun in a launch"
COMMANDS = {  # part -> a part of its command line
    "portal": "gunicorn",
    "build worker": "worker-build",
    "node worker": "worker-node",
    "supervisor": "workers.supervisor",
}
PARTS = ("redis", *COMMANDS, "router", "process manager", "monitor of an instance", LAUNCH)
BECOMES_CRUN = {
    "conmon",
    "crun",
    "sh",
    "unshare",
    "mount",
    "python",
    "celery",
}  # names that a process has before it becomes crun
LAUNCH_WITHIN = 2.0  # seconds to wait for a crun


@dataclass(frozen=True, slots=True, kw_only=True)
class Killed:
    at: float  # time.monotonic()
    part: str
    pid: int


@dataclass(slots=True, kw_only=True)
class Victims:
    """The processes that may be killed. `apps` are the apps whose monitors may be killed.

    Only processes of `config`'s platform are killed.
    """

    config: NodeConfig
    apps: Sequence[str]
    chance: random.Random
    ended: Callable[[], bool] = lambda: False

    def pids(self, part: str) -> list[int]:
        """Return the current processes of this part."""
        if part == "router":
            return strays.routers(self.config)
        if part == "process manager":
            return strays.managers(self.config)
        if part == "monitor of an instance":
            return self._monitors()
        if part == LAUNCH:
            return self._launching()
        if part == "redis":  # its title overwrites its environment, which has the others' mark
            title = f"redis-server unixsocket:{self.config.run}/"
            return [pid for pid in _numbers() if _command(pid).startswith(title)]
        return [pid for pid in strays.programs(self.config) if COMMANDS[part] in _command(pid)]

    def kill(self, part: str) -> Killed | None:
        """Send SIGKILL to a random process of this part. Return None if it has none."""
        found = self.pids(part)
        if not found:
            return None
        pid = self.chance.choice(found)
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return None  # it ended by itself
        return Killed(at=time.monotonic(), part=part, pid=pid)

    def _monitors(self) -> list[int]:
        """Return monitors of apps that have another monitor.

        An app without instances would lose requests in any case.
        """
        found: dict[str, list[int]] = {app: [] for app in self.apps}
        for path in self.config.instances.iterdir():
            app = next((app for app in self.apps if path.name.startswith(f"{app}-")), None)
            file = Folder(path).monitor_pid
            if app is not None and file.exists():
                text = file.read_text().strip()
                if text.isdecimal() and str(path) in _command(
                    int(text)
                ):  # still this monitor: pids are reused
                    found[app].append(int(text))
        return [pid for pids in found.values() if len(pids) > 1 for pid in pids]

    def _launching(self) -> list[int]:
        """Wait for a crun of this node: it lives for some ten milliseconds."""
        mark, deadline = str(self.config.run), time.monotonic() + LAUNCH_WITHIN
        others = _numbers()
        while time.monotonic() < deadline and not self.ended():
            for pid in _numbers() - others:
                name = _name(pid)
                if name == "crun" and mark in _command(pid):
                    return [pid]
                if name not in BECOMES_CRUN:
                    others.add(pid)
            time.sleep(0.001)
        return []


def _numbers() -> set[int]:
    return {int(name) for name in os.listdir("/proc") if name.isdecimal()}  # many times a second


def _name(pid: int) -> str:
    try:
        return (Path("/proc") / str(pid) / "comm").read_text().strip()
    except OSError:
        return ""


def _command(pid: int) -> str:
    try:
        return (
            (Path("/proc") / str(pid) / "cmdline")
            .read_bytes()
            .replace(b"\0", b" ")
            .decode(errors="replace")
        )
    except OSError:
        return ""
