"""A file that holds a part of the state's disk, to be given up when the disk is full, so that the platform can go on.

Without it a full disk stops everything that writes: queue, rows, journals, the start of an instance. It is given up in portions,
so that whoever fills the disk does not get all of it at once, and taken again when there is room.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from runtime.config import NodeConfig
from runtime.contract.quantities import Bytes

LOW = 16 * 2**20  # bytes available: below, a portion is given up
PORTION = 32 * 2**20
ENOUGH = LOW + PORTION  # available after it was taken again, at the least
SHARE = 20  # the reserve is no more than the disk's size divided by this


def decide(*, available: int, held: int, wanted: int) -> int:
    """How large the reserve should be now. Pure."""
    if available < LOW:
        return max(held - PORTION, 0)
    if held < wanted and available - (wanted - held) >= max(wanted, ENOUGH):
        return wanted
    return held


class Reserve:
    """The reserve of one node. `round` is called again and again by one process."""

    def __init__(self, config: NodeConfig) -> None:
        self._path, self._most = config.state / "reserve", int(config.disk_reserve)

    @property
    def held(self) -> Bytes:
        """How much there is of it now."""
        try:
            return Bytes(self._path.stat().st_size)
        except FileNotFoundError:
            return Bytes(0)

    @property
    def wanted(self) -> Bytes:
        """How large it is on a disk that is not full."""
        disk = os.statvfs(self._path.parent)
        return Bytes(min(self._most, disk.f_blocks * disk.f_frsize // SHARE))

    def round(self) -> str:
        """Give up or take what is due; a sentence about it, empty where nothing was."""
        disk = os.statvfs(self._path.parent)
        held, wanted = self.held, self.wanted
        size = decide(available=disk.f_bavail * disk.f_frsize, held=held, wanted=wanted)
        if size == held:
            return ""
        if size < held:
            os.truncate(self._path, size)
            return f"The disk of the state is full: {Bytes(held - size)} of the reserve were given up, {Bytes(size)} are left. Make room"
        with suppress(OSError):  # somebody was faster: the next round sees it
            _grow(self._path, held, size)
            return f"The reserve of the state's disk is whole again: {Bytes(size)}" if held else ""
        return ""

    def describe(self) -> str:
        """A sentence for the doctor; empty where the reserve is whole, or was never made."""
        if not self._path.exists() or self.held >= self.wanted:
            return ""
        return f"The disk of {self._path.parent} was full: {self.held} of the reserve of {self.wanted} are left. Make room on it."


def _grow(path: Path, held: int, size: int) -> None:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(file, held, size - held)
    except OSError:
        os.ftruncate(file, held)
        raise
    finally:
        os.close(file)
