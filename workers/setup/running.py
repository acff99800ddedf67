"""The lock that a running `make up` holds. It contains the holder's process number.

The kernel releases the lock when its holder ends.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runtime import journal
from runtime.config import NodeConfig
from runtime.errors import HostLacks

_TIMEOUT = 60.0  # seconds for a platform to stop


def running_pid(config: NodeConfig) -> int | None:
    """Return the process number of the running `make up`, or None. Creates nothing."""
    path = _path(config)
    if not path.exists() or not os.access(path, os.W_OK):
        return None
    with journal.lock(path, blocking=False) as free:
        return None if free else int(path.read_text() or 0)


@contextmanager
def hold_lock(config: NodeConfig) -> Iterator[None]:
    """Hold the lock while the block runs. Raises HostLacks if another process has it."""
    path = _path(config)
    with journal.lock(path, blocking=False) as got:
        if not got:
            raise HostLacks(
                "Another `make up` or `make down` has just started.", hint="Wait until it ends."
            )
        path.write_text(str(os.getpid()))
        yield


def ask_to_stop(config: NodeConfig, pid: int) -> None:
    """Stop a `make up` as Ctrl-C does, and wait until it has ended.

    Raises HostLacks if it does not end.
    """
    os.kill(pid, signal.SIGTERM)
    with journal.lock(_path(config), timeout=_TIMEOUT) as ended:
        if not ended:
            raise HostLacks(
                f"Process {pid} did not stop within {_TIMEOUT:g} s.",
                hint=f"Examine it, or end it with `kill -9 {pid}`, then try again.",
            )


def _path(config: NodeConfig) -> Path:
    return config.run / "up.lock"
