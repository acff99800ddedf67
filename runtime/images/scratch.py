"""Folders for work in progress.

They are held by flock while in use, so that leftovers can be found.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from runtime import cancellation
from runtime.confined import removal
from runtime.confined.session import PLATFORM, Confinement, Session
from runtime.errors import RuntimeFailure
from runtime.trees.folder import Folder


@contextmanager
def scratch(parent: Path) -> Iterator[Path]:
    """Create a folder below `parent`, and remove it at the end.

    `parent` must hold only such folders.
    """
    path = parent / f"{os.getpid()}-{os.urandom(6).hex()}"
    with _opened(parent) as gate:
        fcntl.flock(gate, fcntl.LOCK_SH)  # no sweep between creating it and holding it
        path.mkdir(mode=0o700)
        held = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(held, fcntl.LOCK_EX)
    try:
        yield path
    finally:
        with suppress(OSError, RuntimeFailure):  # the next sweep tries again
            remove_tree(path)
        os.close(held)


def sweep(parent: Path) -> list[str]:
    """Remove the folders that no process holds, and return a sentence for each."""
    removed = []
    with _opened(parent) as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        for path in sorted(parent.iterdir()):
            if not _is_abandoned(path):
                continue
            try:
                remove_tree(path)
                removed.append(f"removed the half-made {path}")
            except (OSError, RuntimeFailure) as error:  # a child of it may still write
                removed.append(f"left the half-made {path} to the next sweep: {error}")
    return removed


def remove_tree(path: Path, *, team: int = PLATFORM, as_written: bool = False) -> None:
    """Remove a folder whose name is trusted and whose content may be untrusted.

    Succeeds if it is gone.

    A confined helper removes the content. It sees the ids on disk, or with `as_written` the ids
    that the team's containers see.
    """
    try:
        empty_tree(path, team=team, as_written=as_written)
        path.rmdir()
    except FileNotFoundError:
        return


def empty_tree(path: Path, *, team: int = PLATFORM, as_written: bool = False) -> None:
    """Remove the content of a folder like `remove_tree`, and keep the folder."""
    with Folder.at(path) as folder:
        for name in folder.names():
            if not folder.is_folder(name):
                folder.remove(name)
        if not folder.names():  # it had only files: no folder is left to enter
            return
    try:
        # A cancelled task is cleaned up too.
        with cancellation.when(lambda: False), Confinement().session(team) as helper:
            helper.call(removal.empty, top=helper.tree(path, writable=True, as_written=as_written))
    except OSError as error:
        if error.errno not in (errno.EOVERFLOW, errno.EPERM, errno.EACCES):
            raise
        with Folder.at(path) as folder:  # ids of several ranges, left by an earlier release
            folder.empty()


@contextmanager
def emptied_at_end(path: Path, helper: Session) -> Iterator[None]:
    """Empty a folder at the end of the block, in an existing helper.

    On errors `remove_tree` does it later.
    """
    try:
        yield
    finally:
        with suppress(OSError, RuntimeFailure), cancellation.when(lambda: False):
            helper.call(removal.empty, top=helper.tree(path, writable=True))


def is_held(path: Path) -> bool:
    """Return whether a process holds the folder."""
    return path.exists() and not _is_abandoned(path)


def _is_abandoned(path: Path) -> bool:
    try:
        with _opened(path) as held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, FileNotFoundError):
        return False
    return True


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)
