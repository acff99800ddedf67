"""Copy of a tree with types, modes, owners, times, attributes and hard links, without sockets."""

from __future__ import annotations

import stat
from collections.abc import Callable

from runtime.trees.folder import Folder
from runtime.trees.walk import Found, walk

OPAQUE = "user.overlay.opaque"  # the only attribute of overlayfs that is about content


def is_kept(attribute: str) -> bool:
    """Return whether an extended attribute is part of a tree.

    These are the user's attributes and a program's capabilities, but not the host's labels.
    """
    return attribute == "security.capability" or (
        attribute.startswith("user.") and not attribute.startswith("user.overlay.")
    )


def copy_tree(
    source: Folder, target: Folder, *, wanted: Callable[[str], bool] = lambda _: True
) -> None:
    """Copy the content of `source` into the empty folder `target`, and the properties of the top.

    `wanted` decides for each path below the top. A folder that is not wanted is skipped with its
    content.
    """
    links: dict[tuple[int, int], str] = {}
    folders: list[tuple[str, int, int]] = []
    skipped: set[str] = set()

    def enters(path: str) -> bool:
        return path not in skipped

    for found in walk(source, enters=enters):
        if not wanted(found.path):
            skipped.add(found.path)
            continue
        status = found.status
        inode = (status.st_dev, status.st_ino)
        if status.st_nlink > 1 and not found.is_folder and inode in links:
            target.make_hard_link(found.path, links[inode])
            continue
        if not _make(found, target):
            continue
        if status.st_nlink > 1 and not found.is_folder:
            links[inode] = found.path
        _copy_metadata(found, target)
        if found.is_folder:
            folders.append((found.path, status.st_atime_ns, status.st_mtime_ns))
        else:
            target.set_times(found.path, status.st_atime_ns, status.st_mtime_ns)
    for path, accessed, modified in reversed(folders):
        target.set_times(path, accessed, modified)
    top = source.status()
    target.set_owner("", top.st_uid, top.st_gid)
    target.set_mode("", stat.S_IMODE(top.st_mode))
    target.set_times("", top.st_atime_ns, top.st_mtime_ns)


def _make(found: Found, target: Folder) -> bool:
    """Create the file, folder or other entry. Return whether it was created."""
    mode = found.status.st_mode
    if stat.S_ISDIR(mode):
        target.make_folder(found.path, 0o700)
    elif stat.S_ISREG(mode):
        found.folder.copy_file(found.name, target, found.path)
    elif stat.S_ISLNK(mode):
        target.make_link(found.path, found.folder.read_link(found.name))
    elif stat.S_ISFIFO(mode):
        target.make_pipe(found.path)
    elif stat.S_ISCHR(mode) and found.status.st_rdev == 0:
        target.make_whiteout(found.path)
    else:  # a socket, or a device that a container cannot create
        return False
    return True


def _copy_metadata(found: Found, target: Folder) -> None:
    """Set the owner, mode and attributes.

    The owner is first, because its change removes setuid bits and capabilities.
    """
    status = found.status
    target.set_owner(found.path, status.st_uid, status.st_gid)
    target.set_mode(found.path, stat.S_IMODE(status.st_mode))
    for key, value in found.folder.attributes(found.name).items():
        if key == OPAQUE or is_kept(key):
            target.set_attribute(found.path, key, value)
