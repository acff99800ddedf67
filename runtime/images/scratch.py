"""A folder for work in progress: held by flock while in use, so that whoever comes later can tell a leftover from work."""

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
    """A fresh folder below `parent` (which must hold nothing else), gone at the end."""
    path = parent / f"{os.getpid()}-{os.urandom(6).hex()}"
    with _opened(parent) as gate:
        fcntl.flock(gate, fcntl.LOCK_SH)  # no sweep between making and holding it
        path.mkdir(mode=0o700)
        held = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(held, fcntl.LOCK_EX)
    try:
        yield path
    finally:
        with suppress(OSError, RuntimeFailure):  # what resists is the next sweep's
            remove_tree(path)
        os.close(held)


def sweep(parent: Path) -> list[str]:
    """Remove the folders nobody holds any more; returns what, in words."""
    removed = []
    with _opened(parent) as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        for path in sorted(parent.iterdir()):
            if not _is_abandoned(path):
                continue
            try:
                remove_tree(path)
                removed.append(f"removed the half-made {path}")
            except (OSError, RuntimeFailure) as error:  # a program of the dead holder may still write there
                removed.append(f"left the half-made {path} to the next sweep: {error}")
    return removed


def remove_tree(path: Path, *, team: int = PLATFORM, as_written: bool = False) -> None:
    """Remove a folder whose own name is ours and whose content may be a tenant's. Fine if it is gone.

    The content goes in a confined helper, with the ids on disk, or `as_written` with those that the team's containers have.
    """
    try:
        empty_tree(path, team=team, as_written=as_written)
        path.rmdir()
    except FileNotFoundError:
        return


def empty_tree(path: Path, *, team: int = PLATFORM, as_written: bool = False) -> None:
    """The same, but for the folder itself."""
    with Folder.at(path) as folder:
        for name in folder.names():
            if not folder.is_folder(name):
                folder.remove(name)
        if not folder.names():  # files alone: nothing to be entered
            return
    try:
        with cancellation.when(lambda: False), Confinement().session(team) as helper:  # also what was cancelled is cleaned up
            helper.call(removal.empty, top=helper.tree(path, writable=True, as_written=as_written))
    except OSError as error:
        if error.errno not in (errno.EOVERFLOW, errno.EPERM, errno.EACCES):
            raise
        with Folder.at(path) as folder:  # ids of several ranges, as an earlier release left them
            folder.empty()


@contextmanager
def emptied_at_end(path: Path, helper: Session) -> Iterator[None]:
    """Empty a folder in a helper that is there already, at the end of the block. What resists is left to `remove_tree`."""
    try:
        yield
    finally:
        with suppress(OSError, RuntimeFailure), cancellation.when(lambda: False):
            helper.call(removal.empty, top=helper.tree(path, writable=True))


def is_held(path: Path) -> bool:
    """Whether somebody works in a folder."""
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
