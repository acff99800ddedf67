"""What a build step leaves in its writable layer is the tenant's work: looked through here before anything of it leaves its disk.

As root inside its own user namespace a step may make what nobody should read, copy or run on the host: files far longer than the
disk that holds them (sparse), folders nested deeper than programs recurse, and setuid programs, which a build's layer holds with
real ids.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from runtime import stopping
from runtime.errors import BuildFailed
from runtime.quantities import Bytes

MOST_ENTRIES = 500_000
DEEPEST = 200  # folders; Python's own way to delete a tree recurses, and ends at about a thousand
_CAPABILITIES = "security.capability"


def tame(tree: Path, *, most: Bytes, entries: int = MOST_ENTRIES, deepest: int = DEEPEST) -> None:
    """Take setuid bits and file capabilities away. BuildFailed: more than `most` bytes as read, more than `entries`, or too deep."""
    size = count = 0
    known: set[tuple[int, int]] = set()
    pending = [(tree, 1)]
    while pending:
        stopping.check()
        folder, depth = pending.pop()
        if depth > deepest:
            raise BuildFailed(f"The build step made folders nested more than {deepest} deep.", hint="An install script did that.")
        with os.scandir(folder) as found:
            for entry in found:
                count += 1
                status = entry.stat(follow_symlinks=False)
                if entry.is_dir(follow_symlinks=False):
                    pending.append((folder / entry.name, depth + 1))
                elif stat.S_ISREG(status.st_mode) and (status.st_dev, status.st_ino) not in known:
                    if status.st_nlink > 1:
                        known.add((status.st_dev, status.st_ino))
                    size += status.st_size
                    _unarm(folder / entry.name, status.st_mode)
        if count > entries:
            raise BuildFailed(f"The build step made more than {entries:,} files.", hint="Fewer dependencies help.")
        if size > most:
            raise BuildFailed(f"What the build step made reads as more than {most}.", hint="Make no files with holes larger than the disk.")


def _unarm(path: Path, mode: int) -> None:
    if mode & (stat.S_ISUID | stat.S_ISGID):
        path.chmod(stat.S_IMODE(mode) & 0o777)
    if _CAPABILITIES in os.listxattr(path, follow_symlinks=False):
        os.removexattr(path, _CAPABILITIES, follow_symlinks=False)
