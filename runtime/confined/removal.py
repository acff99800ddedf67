"""Removal and measurement of trees, in a confined helper."""

from __future__ import annotations

import stat

from runtime.confined.registry import confined
from runtime.trees.folder import Folder
from runtime.trees.walk import walk

_BLOCK = 512  # bytes of st_blocks (stat(2))


@confined
def empty(top: Folder) -> None:
    """Remove all content of a folder."""
    top.empty()


@confined
def remove(top: Folder, name: str) -> None:
    """Remove a name in a folder, with everything below it."""
    top.remove(name)


@confined
def measure(top: Folder) -> int:
    """Return the bytes on disk of everything below a folder.

    A file with several names counts once. Builds may write to the folder at the same time.
    """
    total, seen = 0, set[tuple[int, int]]()
    for found in walk(top, is_in_use=True):
        status = found.status
        inode = (status.st_dev, status.st_ino)
        if stat.S_ISDIR(status.st_mode) or status.st_nlink == 1 or inode not in seen:
            total += status.st_blocks * _BLOCK
        if status.st_nlink > 1:
            seen.add(inode)
    return total
