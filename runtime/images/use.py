"""The current uses of the store: leases of work in progress, and the gate between use and removal.

Three rules make garbage collection safe at any moment:
1. A process that uses an object (a layer to build on, an existing blob) checks it and marks it as
   used. It does so while it holds the gate shared.
2. The collector checks the mark again and removes the object while it holds the gate alone.
3. Objects marked since the oldest lease began are not removed.
Leases are folders held by flock, so they end with their holder.
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
    """The leases and the gate of one store."""

    def __init__(self, config: NodeConfig) -> None:
        self._gate = config.locks / "images-gate"
        self._leases = config.images / "leases"
        self._leases.mkdir(parents=True, exist_ok=True)
        self._gate.parent.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def lease(self) -> Iterator[None]:
        """Hold a lease during a build, pull or the like, until a row or tag names the result."""
        with scratch(self._leases):
            yield

    def since(self) -> float:
        """Return the start of the oldest lease, or now. Objects used since then may be in use.

        Times are of the file system's clock: time.time() is ahead of it by some milliseconds.
        Now is read first, so a lease that begins in the meantime is younger.
        """
        moments = [self._now()]
        sweep(self._leases)
        for path in self._leases.iterdir():
            try:
                moments.append(path.stat().st_mtime)
            except FileNotFoundError:
                continue  # it has just ended
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
        """Prevent removals inside the block. Keep it short: no hashing, no copying."""
        with self._at_gate(fcntl.LOCK_SH):
            yield

    @contextmanager
    def removing(self) -> Iterator[None]:
        """Prevent uses inside the block.

        Keep it short: rename objects here, delete them afterwards.
        """
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
    """Mark a file as used now. Return False if it does not exist."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return True
