"""Whether a `make up` holds this node: a lock the kernel lets go of when its holder dies, with the holder's number in it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runtime import journal
from runtime.config import NodeConfig
from runtime.errors import HostLacks

_PATIENCE = 60.0  # seconds for a platform to stop


def holder(config: NodeConfig) -> int | None:
    """The process of the `make up` that runs, if one does. Makes nothing."""
    path = _path(config)
    if not path.exists() or not os.access(path, os.W_OK):
        return None
    with journal.lock(path, blocking=False) as free:
        return None if free else int(path.read_text() or 0)


@contextmanager
def taken(config: NodeConfig) -> Iterator[None]:
    """Hold the node while the block runs; HostLacks when another was faster."""
    path = _path(config)
    with journal.lock(path, blocking=False) as got:
        if not got:
            raise HostLacks("Another `make up` or `make down` has just begun.", hint="Wait for it to end.")
        path.write_text(str(os.getpid()))
        yield


def ask_to_stop(config: NodeConfig, pid: int) -> None:
    """As Ctrl-C would; returns when it has ended. HostLacks: it did not."""
    os.kill(pid, signal.SIGTERM)
    with journal.lock(_path(config), timeout=_PATIENCE) as ended:
        if not ended:
            raise HostLacks(
                f"Process {pid} did not stop within {_PATIENCE:g} s.", hint=f"Look at it, or end it with `kill -9 {pid}`, then try again."
            )


def _path(config: NodeConfig) -> Path:
    return config.run / "up.lock"
