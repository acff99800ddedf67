"""How full the disk of the state is, and whether a build may still begin on it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from runtime.config import NodeConfig
from runtime.contract.quantities import Bytes
from runtime.errors import BuildFailed, ImageDamaged, KernelRefused, ProcessFailed


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """Bytes as df(1) counts them: what only root may use is in neither."""

    used: Bytes
    available: Bytes

    @property
    def percent(self) -> float:
        return 100.0 * self.used / max(self.used + self.available, 1)

    def describe(self) -> str:
        return f"{self.percent:.0f} % full, {self.available} left"


def disk_of(config: NodeConfig) -> Disk:
    """The file system that holds `config.state`."""
    status = os.statvfs(config.state)
    return Disk(used=Bytes((status.f_blocks - status.f_bfree) * status.f_frsize), available=Bytes(status.f_bavail * status.f_frsize))


def check_room(config: NodeConfig) -> None:
    """BuildFailed: the disk is at its last mark, so nothing new is begun and what runs keeps the rest."""
    disk = disk_of(config)
    if disk.percent >= config.disk_full:
        raise BuildFailed(
            f"The disk of this node is {disk.describe()}; from {config.disk_full} % on no build begins. Apps that run are not affected.",
            hint="Ask an admin to make room: `manage.py image df` shows what takes it.",
        )


@contextmanager
def telling_when_full() -> Iterator[None]:
    """BuildFailed in place of whatever a full disk made of the work inside."""
    try:
        yield
    except (OSError, KernelRefused) as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise _full() from error
    except (ProcessFailed, ImageDamaged) as error:
        if os.strerror(errno.ENOSPC) not in error.what:
            raise
        raise _full() from error


def _full() -> BuildFailed:
    return BuildFailed(
        "The disk of this node filled up while the app was built. Apps that run are not affected.",
        hint="Ask an admin to make room: `manage.py image df` shows what takes it. Then deploy again.",
    )


def size_of(folder: Path) -> int:
    """Bytes on disk below a folder that others may write to meanwhile; no link of theirs is followed."""
    total = 0
    for _, _, names, at in os.fwalk(folder, follow_symlinks=False, onerror=unless_gone):
        for name in names:
            with suppress(FileNotFoundError):
                total += os.stat(name, dir_fd=at, follow_symlinks=False).st_blocks * 512  # of an open folder
    return total


def unless_gone(error: OSError) -> None:
    """For os.fwalk: a folder that went away while it was walked is no error."""
    if not isinstance(error, FileNotFoundError):
        raise error
