"""The checks of a build step's writable layer, before anything is copied from its disk.

The files are untrusted.

A step is root inside its own user namespace. It can make files that must not be read, copied or run
on the host: sparse files longer than the disk, folders nested too deep for recursion, and setuid
programs. A build's layer has real ids. The checks run in a confined helper.
"""

from __future__ import annotations

import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from runtime.confined.registry import confined
from runtime.contract.quantities import Bytes
from runtime.errors import BuildFailed
from runtime.trees.copying import copy_tree
from runtime.trees.folder import Folder
from runtime.trees.walk import Found, walk

MOST_ENTRIES = 500_000
DEEPEST = 200  # folders
_CAPABILITIES = "security.capability"
_STEP = "the build step"


@dataclass(slots=True, kw_only=True)
class _Allowance:
    """The limits of one or several trees of a step, and what was counted so far."""

    most: int  # bytes in total, for the message
    entries: int
    size: int = 0  # bytes that were counted
    count: int = 0


@confined
def remove_privileges(
    top: Folder, most: int, entries: int = MOST_ENTRIES, deepest: int = DEEPEST
) -> None:
    """Remove setuid bits and file capabilities.

    Raises BuildFailed if the tree has more than `most` bytes to read, more than `entries` files, or
    is nested too deep.
    """
    _remove_privileges(top, _Allowance(most=most, entries=entries), deepest=deepest)


@confined
def measure(
    top: Folder, most: int, who: str, entries: int = MOST_ENTRIES, deepest: int = DEEPEST
) -> None:
    """Check a tree that `who` made before it is copied. Change nothing.

    Raise BuildFailed like `remove_privileges`.
    """
    for _ in _files(top, _Allowance(most=most, entries=entries), deepest=deepest, who=who):
        pass


@confined
def size(top: Folder, entries: int = MOST_ENTRIES, deepest: int = DEEPEST) -> int:
    """Return the bytes to read from a step's tree, with the holes of its files.

    Raises BuildFailed for too many files or too deep folders.
    """
    allowance = _Allowance(most=sys.maxsize, entries=entries)
    files = _files(top, allowance, deepest=deepest, who=_STEP)
    return sum(found.status.st_size for found in files)


@confined
def collect(upper: Folder, into: Folder, folders: tuple[str, ...], most: int) -> None:
    """Copy a step's folders from a stopped container's writable layer, without setuid bits.

    Folders that the step did not make are skipped. Raises BuildFailed like `remove_privileges` for
    all folders together, and if a folder or one of its parents is not a folder. A file with names
    in several folders becomes several files, so it counts in each.
    """
    allowance = _Allowance(most=most, entries=MOST_ENTRIES)
    for folder in folders:
        parts = folder.split("/")
        for depth in range(1, len(parts) + 1):
            place = "/".join(parts[:depth])
            found = upper.find(place)
            if found is None:
                break
            if not stat.S_ISDIR(found.st_mode):
                raise BuildFailed(
                    f"The build step replaced the folder /{folder} with a file or link.",
                    hint="Look for an install script that does this.",
                )
        else:
            _collect(upper, into, folder, allowance)


@confined
def remove_empty_mount_points(upper: Folder, names: tuple[str, ...]) -> None:
    """Remove the empty files and folders that were made as mount points (absolute names).

    Links are not followed.
    """
    for name in names:
        found = upper.find(name.strip("/"))
        if found is None:
            continue
        if stat.S_ISDIR(found.st_mode):
            if not upper.names(name.strip("/")):
                upper.remove(name.strip("/"))
        elif stat.S_ISREG(found.st_mode) and found.st_size == 0:
            upper.remove(name.strip("/"))


def _collect(upper: Folder, into: Folder, folder: str, allowance: _Allowance) -> None:
    with upper.subfolder(folder) as made:
        _remove_privileges(made, allowance, deepest=DEEPEST)
        parts = folder.split("/")
        for depth in range(1, len(parts) + 1):
            place = "/".join(parts[:depth])
            if not into.is_folder(place):
                into.make_folder(place)
        for depth in range(1, len(parts)):
            place = "/".join(parts[:depth])
            status = upper.status(place)
            into.set_owner(place, status.st_uid, status.st_gid)
            into.set_mode(place, stat.S_IMODE(status.st_mode))
        with into.subfolder(folder) as target:
            copy_tree(made, target)


def _remove_privileges(top: Folder, allowance: _Allowance, *, deepest: int) -> None:
    for found in _files(top, allowance, deepest=deepest, who=_STEP):
        mode = found.status.st_mode
        if mode & (stat.S_ISUID | stat.S_ISGID):
            found.folder.set_mode(found.name, stat.S_IMODE(mode) & 0o777)
        if _CAPABILITIES in found.folder.attributes(found.name):
            found.folder.remove_attribute(found.name, _CAPABILITIES)


def _files(top: Folder, allowance: _Allowance, *, deepest: int, who: str) -> Iterator[Found]:
    """Yield each regular file once, and raise BuildFailed at a limit."""
    known: set[tuple[int, int]] = set()
    for found in walk(top):
        status = found.status
        allowance.count += 1
        if allowance.count > allowance.entries:
            raise BuildFailed(
                f"{who.capitalize()} made more than {allowance.entries:,} files.",
                hint="Use fewer dependencies.",
            )
        if found.is_folder:
            if found.path.count("/") + 2 > deepest:
                raise BuildFailed(
                    f"{who.capitalize()} made folders nested more than {deepest} deep.",
                    hint="Look for a script that does this.",
                )
        elif stat.S_ISREG(status.st_mode) and (status.st_dev, status.st_ino) not in known:
            if status.st_nlink > 1:
                known.add((status.st_dev, status.st_ino))
            allowance.size += status.st_size
            if allowance.size > allowance.most:
                raise BuildFailed(
                    f"The files of {who} are larger than {Bytes(allowance.most)}.",
                    hint="Do not make sparse files larger than the disk.",
                )
            yield found
