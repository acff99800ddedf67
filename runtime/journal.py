"""Durable state as small files: written whole or not at all, and locks the kernel lets go of when their holder dies.

Not a database: one writer a file at a time, which the lock ensures, and readers that always see a complete one.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

_POLL = 0.01  # seconds between two tries for a lock with a timeout


def write_atomic(path: Path, data: bytes, mode: int = 0o600, *, durable: bool = True) -> None:
    """Replace `path` with `data`: a crash or a reader meets either the old file or the new one (rename(2)).

    `durable=False` leaves out the syncs: safe against kill -9, not against a power failure. For what a reboot voids anyway.
    """
    fresh = path.with_name(f".{path.name}.{os.getpid()}-{time.monotonic_ns()}.tmp")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        try:
            os.fchmod(fd, mode)  # whatever the umask
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
            if durable:
                os.fsync(fd)
        finally:
            os.close(fd)
        fresh.rename(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def sync_file(path: Path) -> None:
    """Make a file written without it durable, its name included; nothing to do where it is gone."""
    with suppress(FileNotFoundError):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames and removals in a folder durable (fsync(2): the entry needs its own fsync)."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_json(path: Path, value: Any, mode: int = 0o600, *, durable: bool = True) -> None:
    """Write a JSON document atomically."""
    write_atomic(path, json.dumps(value, indent=1, sort_keys=True).encode() + b"\n", mode, durable=durable)


def read_json(path: Path) -> Any:
    """The document, or None where there is no file. ValueError: the file is not JSON (not written by us)."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        return None


@contextmanager
def lock(path: Path, *, blocking: bool = True, timeout: float | None = None) -> Iterator[bool]:
    """Hold `path` by flock(2) inside the block; yields whether it was got.

    Waits for ever by default, `timeout` seconds if given, not at all with `blocking=False`. The file stays; `remove_free_locks`
    removes it later. So a file that was opened may be gone when it is got: then it is opened anew.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            got = take(fd, blocking=blocking, timeout=timeout)
            if got and not _is_at(fd, path):
                continue
            yield got
            return
        finally:
            os.close(fd)  # lets go


def remove_free_locks(folder: Path, names: re.Pattern[str]) -> int:
    """Remove the lock files of these names that nobody holds, and return their number. They must be taken by `lock` alone."""
    removed = 0
    for path in folder.iterdir():
        if not names.fullmatch(path.name):
            continue
        with lock(path, blocking=False) as free:
            if free:
                path.unlink()
                removed += 1
    return removed


def _is_at(fd: int, path: Path) -> bool:
    """Whether `path` still is the open file, or went away with its whole folder, which is not to come back for a lock."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return not path.parent.exists()
    mine = os.fstat(fd)
    return (found.st_dev, found.st_ino) == (mine.st_dev, mine.st_ino)


def take(fd: int, *, blocking: bool = True, timeout: float | None = None) -> bool:
    """The same for a file the caller has opened; closing it lets go. Whether it was got."""
    if blocking and timeout is None:
        fcntl.flock(fd, fcntl.LOCK_EX)
        return True
    deadline = time.monotonic() + (timeout or 0 if blocking else 0)
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except OSError as error:
            if error.errno != errno.EWOULDBLOCK:
                raise
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL)
