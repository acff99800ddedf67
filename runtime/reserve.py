"""A file that reserves a part of the state's disk.

When the disk is full, the reserve is released, so that the platform continues to work. Without it a
full disk stops everything that writes: queue, database, journals, the start of an instance. The
reserve is released in portions, so that a program that fills the disk does not get all of it at
once. It is allocated again when there is space.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from runtime.config import NodeConfig
from runtime.contract.quantities import Bytes

LOW = 16 * 2**20  # available bytes below which a portion is released
PORTION = 32 * 2**20
ENOUGH = LOW + PORTION  # the least available bytes after the reserve was allocated again
SHARE = 20  # the reserve is at most the disk's size divided by this


def decide(*, available: int, held: int, wanted: int) -> int:
    """Return the size that the reserve should have now, in bytes. Pure."""
    if available < LOW:
        return max(held - PORTION, 0)
    if held < wanted and available - (wanted - held) >= max(wanted, ENOUGH):
        return wanted
    return held


class Reserve:
    """The reserve of a node. One process calls `round` repeatedly."""

    def __init__(self, config: NodeConfig) -> None:
        self._path, self._most = config.state / "reserve", int(config.disk_reserve)

    @property
    def held(self) -> Bytes:
        """Return its current size."""
        try:
            return Bytes(self._path.stat().st_size)
        except FileNotFoundError:
            return Bytes(0)

    @property
    def wanted(self) -> Bytes:
        """Return its size on a disk that is not full."""
        disk = os.statvfs(self._path.parent)
        return Bytes(min(self._most, disk.f_blocks * disk.f_frsize // SHARE))

    def round(self) -> str:
        """Release or allocate what is due. Return a sentence about it, empty if nothing was due."""
        disk = os.statvfs(self._path.parent)
        held, wanted = self.held, self.wanted
        size = decide(available=disk.f_bavail * disk.f_frsize, held=held, wanted=wanted)
        if size == held:
            return ""
        if size < held:
            os.truncate(self._path, size)
            return (
                f"The state's disk is full: {Bytes(held - size)} of the reserve were released,"
                f" {Bytes(size)} are left. Free some space"
            )
        with suppress(OSError):  # another process used the space first: the next round tries again
            _grow(self._path, held, size)
            return (
                f"The reserve of the state's disk is complete again: {Bytes(size)}" if held else ""
            )
        return ""

    def describe(self) -> str:
        """Return a sentence for `make doctor`; empty if the reserve is complete or missing."""
        if not self._path.exists() or self.held >= self.wanted:
            return ""
        return (
            f"The disk of {self._path.parent} was full: {self.held} of the reserve of {self.wanted}"
            " are left. Free some space on it."
        )


def _grow(path: Path, held: int, size: int) -> None:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(file, held, size - held)
    except OSError:
        os.ftruncate(file, held)
        raise
    finally:
        os.close(file)
