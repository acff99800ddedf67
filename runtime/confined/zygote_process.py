"""The host's side of the zygote: the process that forks confined helpers."""

from __future__ import annotations

import os
import socket
import sys
import threading
from pathlib import Path

from runtime.confined import wire
from runtime.confined.wire import Closed
from runtime.errors import HostLacks
from runtime.process import Running, spawn

_ROOT = Path(__file__).parents[2]
_ENVIRONMENT = {
    "PATH": os.defpath,
    "PYTHONPATH": str(_ROOT),
    "MALLOC_ARENA_MAX": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
}
LOOK_AT = "Check `sysctl user.max_user_namespaces`, and read the worker's log."


class Zygote:
    """The process that forks helpers.

    It starts with the first helper, and again after it was killed.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._orders: socket.socket | None = None
        self._process: Running[bytes] | None = None
        self._of = 0

    def fork(self, order: dict[str, int], fds: list[int]) -> tuple[int, int]:
        """Fork a helper. Return its pidfd and a descriptor of its user namespace."""
        with self._lock:
            for last in (False, True):
                try:
                    wire.send(self._started(), order, fds)
                    answer = wire.receive(self._started())
                    break
                except Closed:  # it was killed: start another
                    self._end()
                    if last:
                        raise HostLacks(
                            "Could not start a confined helper: its zygote exits at once.",
                            hint=LOOK_AT,
                        ) from None
            if len(answer.fds) != 2:
                raise HostLacks(
                    f"Could not start a confined helper: {answer.body.get('fault')}.", hint=LOOK_AT
                )
            return answer.fds[0], answer.fds[1]

    def _started(self) -> socket.socket:
        if self._orders is None or self._of != os.getpid():
            ours, theirs = socket.socketpair()
            with theirs:
                command = [sys.executable, "-m", "runtime.confined.zygote", str(theirs.fileno())]
                self._process = spawn(
                    command, pass_fds=(theirs.fileno(),), env=_ENVIRONMENT, cwd=_ROOT
                )
            self._orders, self._of = ours, os.getpid()
        return self._orders

    def _end(self) -> None:
        if self._orders is not None:
            self._orders.close()
            self._orders = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


ZYGOTE = Zygote()
