"""The process manager in the foreground: started, watched, asked to stop, and started again should anybody kill it.

It stays while the platform runs and costs ten megabytes, which is why it is not a Django command. Apps are none of its business:
they run on under their own monitors.
"""

from __future__ import annotations

import http.client
import re
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from runtime.config import NodeConfig
from runtime.errors import HostLacks
from runtime.process import Running, spawn
from workers.setup import strays
from workers.setup.processes import platform_logs
from workers.setup.tree import PYTHON, ROOT

_LOOK = 0.2  # seconds between two looks
_TOLD_AGAIN = 30.0  # seconds between two lines about the same process
_EXITED = re.compile(r"exited: (\S+) \((.*)\)")


class Foreground:
    """supervisord as our child. `start`, then `until_answering` and `watch`; `stop` in the end, whatever happened."""

    def __init__(self, config: NodeConfig, configuration: Path, environment: Mapping[str, str]) -> None:
        self._config = config
        self._environment = environment
        self._command: list[str | Path] = [
            "setpriv",
            "--pdeathsig",
            "TERM",
            "--",
            PYTHON,
            "-m",
            "workers.setup.keeper",
            "-c",
            configuration,
        ]
        self._log = _Tail(platform_logs(config) / "processes.log")
        self._told: dict[str, float] = {}
        self._old_routers: list[int] = []  # of a manager that was killed; they serve until the new one does
        self._manager = self._start()

    def watch(self) -> None:
        """For ever: say what ended and was started again. Ctrl-C (KeyboardInterrupt) is the way out."""
        while True:
            self._look()
            time.sleep(_LOOK)

    def until_answering(self, seconds: float) -> None:
        """Return when the portal answers through the router; HostLacks with the last lines of its log when it does not."""
        deadline = time.monotonic() + seconds
        while not answers(self._config):
            self._look()
            if time.monotonic() > deadline:
                said = last_lines(platform_logs(self._config) / "portal.log", 15)
                raise HostLacks(
                    f"The portal did not answer within {seconds:g} s. Its log ends:\n{said}",
                    hint=f"All logs are in {self._log.path.parent}.",
                )
            time.sleep(_LOOK)

    def stop(self) -> None:
        """Ask the manager to end, which asks each process in its own way; what does not end in time is killed by it."""
        while self._manager.poll() is None:
            try:
                self._manager.terminate()
                self._manager.wait()
            except KeyboardInterrupt:
                continue  # an impatient second Ctrl-C: the way down is under way already, and short
        self._look_at_log(silently=True)
        self._end_orphans()
        strays.end(strays.routers(self._config))

    def _look(self) -> None:
        self._look_at_log()
        if (status := self._manager.poll()) is not None:
            _say(f"  The process manager ended ({_outcome(status)}) and is started again.")
            self._old_routers = strays.routers(self._config)
            self._end_orphans()
            self._manager = self._start()
        if self._old_routers:
            self._relieve_routers()

    def _relieve_routers(self) -> None:
        """Once the new router's worker is there, which is after it listens, the old one takes nothing new and ends when it is idle."""
        fresh = set(strays.routers(self._config)) - set(self._old_routers)
        if len(fresh) >= 2:  # master and worker
            strays.tell(self._old_routers, signal.SIGUSR1)
            self._old_routers = []

    def _look_at_log(self, *, silently: bool = False) -> None:
        for line in self._log.new_lines():
            if (exited := _EXITED.search(line)) and not silently:
                self._tell(exited[1], exited[2])

    def _tell(self, name: str, how: str) -> None:
        now = time.monotonic()
        if now - self._told.get(name, -_TOLD_AGAIN) >= _TOLD_AGAIN:
            _say(f"  {name} ended ({how}) and is started again. Its log: {platform_logs(self._config) / name}.log")
            self._told[name] = now

    def _end_orphans(self) -> None:
        """End what the manager left, but the router, so that the next finds sockets free."""
        strays.end(strays.programs(self._config))

    def _start(self) -> Running[bytes]:
        with (platform_logs(self._config) / "manager.out").open("ab") as out:
            return spawn(self._command, stdout=out, stderr=out, env=self._environment, cwd=ROOT)


def _say(text: str) -> None:
    with suppress(OSError):  # our output is a file on a full disk: what is watched over is worth more than the line
        print(text, flush=True)


def answers(config: NodeConfig) -> bool:
    """Whether a request for the portal comes back through the router with anything but an error of ours."""
    address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(config.http_bind, config.http_bind)
    connection = http.client.HTTPConnection(address, config.http_port, timeout=10)
    try:
        connection.request("GET", "/", headers={"Host": "localhost"})  # which is led to no other address
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def last_lines(path: Path, count: int) -> str:
    """The end of a log, indented."""
    lines = path.read_text(errors="replace").splitlines()[-count:] if path.exists() else ["(it has no log yet)"]
    return "\n".join(f"    {line}" for line in lines)


class _Tail:
    """What is appended to a file from now on, across its rotation."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._place = path.stat().st_size if path.exists() else 0

    def new_lines(self) -> list[str]:
        size = self.path.stat().st_size if self.path.exists() else 0
        if size < self._place:
            self._place = 0  # rotated
        if size == self._place:
            return []
        with self.path.open("rb") as file:
            file.seek(self._place)
            whole, _, _ = file.read().rpartition(b"\n")
        self._place += len(whole) + 1 if whole else 0
        return whole.decode(errors="replace").splitlines()


def _outcome(status: int) -> str:
    return signal.Signals(-status).name if status < 0 else f"exit status {status}"
