"""Who uses the store right now: leases of work in progress, and the gate between those who take and the one who removes.

The rule that makes collecting safe at any moment: whoever takes something (finds a layer to build on, writes a blob that may be
there already) checks and marks it as used within the gate, shared; the collector looks at the mark again and removes within the
gate, alone. What is marked since the oldest lease began is not removed. Leases are folders held by flock, so they end with their
holder.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runtime.config import NodeConfig
from runtime.images.scratch import scratch, sweep


class Uses:
    """Leases and gate of one store."""

    def __init__(self, config: NodeConfig) -> None:
        self._gate = config.locks / "images-gate"
        self._leases = config.images / "leases"
        self._leases.mkdir(parents=True, exist_ok=True)
        self._gate.parent.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def lease(self) -> Iterator[None]:
        """For as long as a build, a pull or the like lasts, and until what came of it is named by a row or a tag."""
        with scratch(self._leases):
            yield

    def since(self) -> float:
        """Whatever was used at this moment or later may be in use: when the oldest lease began, or now, by the file system's clock.

        Now is asked first, so a lease that begins meanwhile is younger; time.time() runs ahead of that clock by some milliseconds.
        """
        moments = [self._now()]
        sweep(self._leases)
        for path in self._leases.iterdir():
            try:
                moments.append(path.stat().st_mtime)
            except FileNotFoundError:
                continue  # it ended while we looked
        return min(moments)

    def _now(self) -> float:
        fd = os.open(self._gate, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.utime(fd)
            return os.fstat(fd).st_mtime
        finally:
            os.close(fd)

    @contextmanager
    def taking(self) -> Iterator[None]:
        """Nothing is removed inside the block. Keep it short: no hashing, no copying."""
        with self._at_gate(fcntl.LOCK_SH):
            yield

    @contextmanager
    def removing(self) -> Iterator[None]:
        """Nothing is taken inside the block. Keep it short: rename away here, delete afterwards."""
        with self._at_gate(fcntl.LOCK_EX):
            yield

    @contextmanager
    def _at_gate(self, how: int) -> Iterator[None]:
        fd = os.open(self._gate, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, how)
            yield
        finally:
            os.close(fd)


def mark(path: Path) -> bool:
    """Note that something is used now; False if it is not there."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return True
