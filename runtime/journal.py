"""Durable state in small files, and file locks.

Writes are atomic, and the kernel releases a lock when its holder ends. This is not a database: a
lock ensures one writer per file, and readers always see a complete file.
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
    """Replace `path` with `data` atomically (rename(2)).

    After a crash, and for readers, there is either the old file or the new one. `durable=False`
    skips the syncs: this is safe against kill -9, but not against a power failure. Use it for
    files that are useless after a reboot.
    """
    fresh = path.with_name(f".{path.name}.{os.getpid()}-{time.monotonic_ns()}.tmp")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        try:
            os.fchmod(fd, mode)  # regardless of the umask
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
    """Sync a file that was written without `durable`, and its name. Do nothing if it is gone."""
    with suppress(FileNotFoundError):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Sync renames and removals in a folder (fsync(2): the entry needs its own fsync)."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_json(path: Path, value: Any, mode: int = 0o600, *, durable: bool = True) -> None:
    """Write a JSON document atomically."""
    write_atomic(
        path, json.dumps(value, indent=1, sort_keys=True).encode() + b"\n", mode, durable=durable
    )


def read_json(path: Path) -> Any:
    """Return the document, or None if there is no file.

    Raises ValueError if the file is not JSON (not written by us).
    """
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        return None


@contextmanager
def lock(path: Path, *, blocking: bool = True, timeout: float | None = None) -> Iterator[bool]:
    """Lock `path` with flock(2) inside the block. Yield whether the lock is held.

    By default it waits without limit; with `timeout`, that many seconds; with `blocking=False`,
    not at all. The file remains until `remove_free_locks` removes it. So the opened file may be
    gone when the lock is acquired. Then it is opened again.
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
            os.close(fd)  # releases the lock


def remove_free_locks(folder: Path, names: re.Pattern[str]) -> int:
    """Remove the lock files with these names that are not held, and return their number.

    Only `lock` may acquire locks on these files.
    """
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
    """Return whether `path` is still the open file, or whether its whole folder is gone.

    A removed folder must not be created again for a lock.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        return not path.parent.exists()
    mine = os.fstat(fd)
    return (found.st_dev, found.st_ino) == (mine.st_dev, mine.st_ino)


def take(fd: int, *, blocking: bool = True, timeout: float | None = None) -> bool:
    """Lock a file that the caller has opened, and return whether the lock was acquired.

    Closing the file releases the lock.
    """
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
