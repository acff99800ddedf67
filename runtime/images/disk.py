"""The disk usage of the state folder, and the check for room before a build."""

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
    """The usage of a disk in bytes, like df(1): neither value has the blocks reserved for root."""

    used: Bytes
    available: Bytes

    @property
    def percent(self) -> float:
        return 100.0 * self.used / max(self.used + self.available, 1)

    def describe(self) -> str:
        return f"{self.percent:.0f} % full, {self.available} left"


def disk_of(config: NodeConfig) -> Disk:
    """Return the usage of the file system that holds `config.state`."""
    status = os.statvfs(config.state)
    return Disk(
        used=Bytes((status.f_blocks - status.f_bfree) * status.f_frsize),
        available=Bytes(status.f_bavail * status.f_frsize),
    )


def check_room(config: NodeConfig) -> None:
    """Raise BuildFailed if the disk is above `disk_full`: running apps need the rest of it."""
    disk = disk_of(config)
    if disk.percent >= config.disk_full:
        raise BuildFailed(
            f"The disk of this node is {disk.describe()}; at {config.disk_full} % or more no build"
            " and no further step starts. Running apps are not affected.",
            hint="Ask an admin to free disk space: `manage.py image df` shows what uses it.",
        )


@contextmanager
def reporting_when_full() -> Iterator[None]:
    """Raise BuildFailed instead of errors that a full disk causes inside the block."""
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
        "The disk of this node became full during the build. Running apps are not affected.",
        hint=(
            "Ask an admin to free disk space: `manage.py image df` shows what uses it. Then deploy"
            " again."
        ),
    )


def size_of(folder: Path) -> int:
    """Return the bytes on disk below a folder, which others may change. Links are not followed."""
    total = 0
    for _, _, names, at in os.fwalk(folder, follow_symlinks=False, onerror=unless_gone):
        for name in names:
            with suppress(FileNotFoundError):
                # Relative to the open folder, so that no replaced folder is followed.
                total += os.stat(name, dir_fd=at, follow_symlinks=False).st_blocks * 512
    return total


def unless_gone(error: OSError) -> None:
    """Raise the error unless a folder was removed during the walk. It is a callback of os.fwalk."""
    if not isinstance(error, FileNotFoundError):
        raise error
