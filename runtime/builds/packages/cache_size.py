"""Reduce a team's package caches to a size, least recently used first.

The content belongs to the tenant, so this runs in a confined helper.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress

from runtime.confined.registry import confined
from runtime.trees.folder import Folder
from runtime.trees.walk import walk

CUT_TO = 0.8  # share of the limit, so that the next download does not exceed it again
_GONE = ".gone-"
# Number of path components that these tools remove as a whole; others check each file they find.
_AS_ONE = {"uv": 4, "yarn": 3}


@confined
def cut(top: Folder, most: int) -> int:
    """Remove the least recently used parts until at most `most` bytes remain on disk.

    Return the removed bytes.
    """
    parts = _parts(top)
    total = sum(size for size, _ in parts.values())
    if total <= most:
        return 0
    removed = 0
    for names, (size, _) in sorted(parts.items(), key=lambda item: item[1][1]):
        if total - removed <= most * CUT_TO:
            break
        _remove(top, names)
        removed += size
    return removed


def _parts(top: Folder) -> dict[tuple[str, ...], tuple[int, float]]:
    """Return the parts that can be removed separately: (bytes, last use as Unix seconds) by their
    path components.
    """
    found: dict[tuple[str, ...], tuple[int, float]] = {}
    for entry in walk(top):
        if entry.is_folder:
            continue
        part, status = _part_of(tuple(entry.path.split("/"))), entry.status
        size, used = found.get(part, (0, 0.0))
        found[part] = (size + status.st_blocks * 512, max(used, status.st_atime, status.st_mtime))
    return found


def _part_of(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the part that a path belongs to.

    An unpacked wheel of uv must stay complete: the next install would not notice a missing file.
    """
    if names[0] == "uv" and len(names) > 1 and names[1].startswith("archive-"):
        return names[:3]
    return names[: _AS_ONE.get(names[0], len(names))]


def _remove(top: Folder, names: tuple[str, ...]) -> None:
    """Remove a part. A folder is renamed first, so that no program finds an incomplete one."""
    place = "/".join(names)
    found = top.find(place)
    if found is None:
        return  # removed or replaced in the meantime
    if stat.S_ISDIR(found.st_mode):
        aside = "/".join((*names[:-1], f"{_GONE}{os.urandom(6).hex()}"))
        top.rename(place, aside)
        place = aside
    with suppress(FileNotFoundError):
        try:
            top.remove(place)
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:  # a program still writes there
                raise
