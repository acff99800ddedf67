"""The process manager in the foreground: started, watched, stopped, and restarted if it is killed.

This process stays while the platform runs. As it is not a Django command, it takes only 10 MB.
Apps do not depend on it: they keep running under their own monitors.
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
_REPORT_AGAIN_AFTER = 30.0  # seconds between two lines about the same process
_EXITED = re.compile(r"exited: (\S+) \((.*)\)")


class Foreground:
    """The supervisord child process.

    Call `wait_until_answering` and `watch`, and always `stop` at the end.
    """

    def __init__(
        self, config: NodeConfig, configuration: Path, environment: Mapping[str, str]
    ) -> None:
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
        self._reported_at: dict[str, float] = {}
        # Left by a killed manager; they serve until the new router does.
        self._old_routers: list[int] = []
        self._manager = self._start()

    def watch(self) -> None:
        """Print which processes ended and were restarted, until Ctrl-C (KeyboardInterrupt)."""
        while True:
            self._look()
            time.sleep(_LOOK)

    def wait_until_answering(self, seconds: float) -> None:
        """Wait until the portal answers through the router.

        Raises HostLacks with the last lines of the portal's log if it does not answer in time.
        """
        deadline = time.monotonic() + seconds
        while not answers(self._config):
            self._look()
            if time.monotonic() > deadline:
                lines = last_lines(platform_logs(self._config) / "portal.log", 15)
                raise HostLacks(
                    f"The portal did not answer within {seconds:g} s. Its log ends:\n{lines}",
                    hint=f"All logs are in {self._log.path.parent}.",
                )
            time.sleep(_LOOK)

    def stop(self) -> None:
        """Stop the manager.

        It stops each process with its own signal, and kills those that are too slow.
        """
        while self._manager.poll() is None:
            try:
                self._manager.terminate()
                self._manager.wait()
            except KeyboardInterrupt:
                continue  # a second Ctrl-C: the stop has begun already, and is short
        self._look_at_log(silently=True)
        self._end_orphans()
        strays.end(strays.routers(self._config))

    def _look(self) -> None:
        self._look_at_log()
        if (status := self._manager.poll()) is not None:
            _say(f"  The process manager ended ({_outcome(status)}) and is restarted.")
            self._old_routers = strays.routers(self._config)
            self._end_orphans()
            self._manager = self._start()
        if self._old_routers:
            self._relieve_routers()

    def _relieve_routers(self) -> None:
        """Let the old routers finish, once the new router's worker runs and so listens.

        The old ones accept no new connections, and end when they are idle.
        """
        fresh = set(strays.routers(self._config)) - set(self._old_routers)
        if len(fresh) >= 2:  # master and worker
            strays.signal_processes(self._old_routers, signal.SIGUSR1)
            self._old_routers = []

    def _look_at_log(self, *, silently: bool = False) -> None:
        for line in self._log.new_lines():
            if (exited := _EXITED.search(line)) and not silently:
                self._report_exit(exited[1], exited[2])

    def _report_exit(self, name: str, how: str) -> None:
        now = time.monotonic()
        if now - self._reported_at.get(name, -_REPORT_AGAIN_AFTER) >= _REPORT_AGAIN_AFTER:
            _say(
                f"  {name} ended ({how}) and is restarted. Its log:"
                f" {platform_logs(self._config) / name}.log"
            )
            self._reported_at[name] = now

    def _end_orphans(self) -> None:
        """End processes that the manager left, except the router, to free their sockets."""
        strays.end(strays.programs(self._config))

    def _start(self) -> Running[bytes]:
        with (platform_logs(self._config) / "manager.out").open("ab") as out:
            return spawn(self._command, stdout=out, stderr=out, env=self._environment, cwd=ROOT)


def _say(text: str) -> None:
    with suppress(OSError):
        # The output may be a file on a full disk, which must not end the platform.
        print(text, flush=True)


def answers(config: NodeConfig) -> bool:
    """Return True if the portal answers a request through the router with a status below 500."""
    address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(config.http_bind, config.http_bind)
    connection = http.client.HTTPConnection(address, config.http_port, timeout=10)
    try:
        # This host is never redirected.
        connection.request("GET", "/", headers={"Host": "localhost"})
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def last_lines(path: Path, count: int) -> str:
    """Return the last lines of a log, indented."""
    lines = (
        path.read_text(errors="replace").splitlines()[-count:]
        if path.exists()
        else ["(there is no log yet)"]
    )
    return "\n".join(f"    {line}" for line in lines)


class _Tail:
    """A reader of the lines that are appended to a file from now on, also after its rotation."""

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
