"""Cut a team's downloads to size, least recently used first. What lies there is the tenant's: runs in a confined helper."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress

from runtime.confined.registry import confined
from runtime.trees.folder import Folder
from runtime.trees.walk import walk

CUT_TO = 0.8  # of its size, so that it is not cut again after the next download
_GONE = ".gone-"
_AS_ONE = {"uv": 4, "yarn": 3}  # how many names of a path make what these remove as a whole; others check each file they find


@confined
def cut(top: Folder, most: int) -> int:
    """Remove what was used least recently until the rest has `most` bytes on disk; bytes removed."""
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
    """What may go by itself: (bytes, last use as Unix seconds) by the names that lead to it."""
    found: dict[tuple[str, ...], tuple[int, float]] = {}
    for entry in walk(top):
        if entry.is_folder:
            continue
        part, status = _part_of(tuple(entry.path.split("/"))), entry.status
        size, used = found.get(part, (0, 0.0))
        found[part] = (size + status.st_blocks * 512, max(used, status.st_atime, status.st_mtime))
    return found


def _part_of(names: tuple[str, ...]) -> tuple[str, ...]:
    """An unpacked wheel of uv's must not lose a file: whoever installs it next would not notice."""
    if names[0] == "uv" and len(names) > 1 and names[1].startswith("archive-"):
        return names[:3]
    return names[: _AS_ONE.get(names[0], len(names))]


def _remove(top: Folder, names: tuple[str, ...]) -> None:
    """A folder goes by a rename first, so that nobody finds a part of it."""
    place = "/".join(names)
    found = top.find(place)
    if found is None:
        return  # gone, or turned into something else, meanwhile
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
