"""A folder for work in progress: held by flock while in use, so that whoever comes later can tell a leftover from work."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
        shutil.rmtree(path, ignore_errors=True)  # what resists is the next sweep's
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
                shutil.rmtree(path)
                removed.append(f"removed the half-made {path}")
            except OSError as error:  # a program of the dead holder may still write there
                removed.append(f"left the half-made {path} to the next sweep: {error.strerror}")
    return removed


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
