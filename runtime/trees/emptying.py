"""Remove the content of an open folder, at any depth, without following a link."""

from __future__ import annotations

import os
import stat
from contextlib import suppress

from runtime.syscalls import openat2
from runtime.trees.open_parents import FOLDER, STRICT


def empty(top: int) -> None:
    """Remove the content of the folder with this descriptor, and close it."""
    stack = [(top, "", _remove_files(top))]
    try:
        while stack:
            fd, leaf, folders = stack[-1]
            if folders:
                below = folders.pop()
                entered = _enter(fd, below)
                stack.append((entered, below, []))
                stack[-1][2].extend(_remove_files(entered))
                continue
            stack.pop()
            os.close(fd)
            if stack:
                os.rmdir(leaf, dir_fd=stack[-1][0])
    finally:
        for fd, _, _ in stack:
            os.close(fd)


def _remove_files(fd: int) -> list[str]:
    """Unlink all entries of a folder except folders. Return the names of the folders."""
    folders = []
    for name in os.listdir(fd):
        if stat.S_ISDIR(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
            folders.append(name)
        else:
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=fd)
    return folders


def _enter(fd: int, name: str) -> int:
    """Open a folder that will be emptied, with any mode."""
    try:
        return openat2(fd, os.fsencode(name), FOLDER, resolve=STRICT)
    except PermissionError:
        os.chmod(name, 0o700, dir_fd=fd)  # a link in its place leads nowhere in a confined root
        return openat2(fd, os.fsencode(name), FOLDER, resolve=STRICT)
