"""Removing and measuring trees, in a confined helper."""

from __future__ import annotations

import stat

from runtime.confined.registry import confined
from runtime.trees.folder import Folder
from runtime.trees.walk import walk

_BLOCK = 512  # bytes of st_blocks (stat(2))


@confined
def empty(top: Folder) -> None:
    """Remove all that is in a folder."""
    top.empty()


@confined
def remove(top: Folder, name: str) -> None:
    """Remove one name in a folder, with all that is below it."""
    top.remove(name)


@confined
def measure(top: Folder) -> int:
    """Bytes on disk of all that is below a folder; a file with several names counts once. Builds may write in it meanwhile."""
    total, seen = 0, set[tuple[int, int]]()
    for found in walk(top, is_in_use=True):
        status = found.status
        inode = (status.st_dev, status.st_ino)
        if stat.S_ISDIR(status.st_mode) or status.st_nlink == 1 or inode not in seen:
            total += status.st_blocks * _BLOCK
        if status.st_nlink > 1:
            seen.add(inode)
    return total
