"""The format of log lines, and files of such lines. Lines are only added at the end.

    2026-11-24T00:50:09.179Z web.1a2b3c4d stdout Listening on 8000

TIMESTAMP (RFC 3339, UTC, milliseconds), SOURCE (no spaces), TEXT, and STREAM: stdout, stderr, or
system for lines of the platform.
"""

from __future__ import annotations

import os
import pwd
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

ROTATE_AT = 10 * 2**20  # bytes; then APP.log replaces APP.log.1
LONGEST_TEXT = 16_384
_PIECE = 2**20
_SURELY_LEFT = 300.0  # seconds; creating a file takes much less
_FRESH = re.compile(r"\..+\.\d+-\d+")  # of `_make`
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1a\x1c-\x1f\x7f]")  # all but tab and escape: colours stay


def timestamp(at: float) -> str:
    """Format Unix seconds as a timestamp of the log."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def line(stamp: str, source: str, stream: str, text: str) -> str:
    """Return one line with its newline.

    Text is cut at 16 KiB. Control characters are removed, because they could break a line or a
    terminal.
    """
    if len(text) > LONGEST_TEXT:
        text = text[:LONGEST_TEXT] + "…"
    return f"{stamp} {source} {stream} {_CONTROL.sub('', text)}\n"


def append(path: Path, lines: Sequence[str], *, user: str, rotate: bool = False) -> None:
    """Add whole lines in one write, so that a reader never sees half a line.

    The caller is the only writer or holds the lock.
    """
    if not lines:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if rotate and path.exists() and path.stat().st_size > ROTATE_AT:
        lines = [*_rotate(path, lines[0].split(" ", 1)[0]), *lines]
    fd = open_to_append(path, user=user)
    try:
        write_whole(fd, lines)
    finally:
        os.close(fd)


def open_to_append(path: Path, *, user: str) -> int:
    """Return a descriptor that adds at the end of a log. Create the log if it does not exist.

    Its folder must exist.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
    try:
        return os.open(path, flags)
    except FileNotFoundError:
        _make(path, user)
        return os.open(path, flags)


def write_whole(fd: int, lines: Sequence[str]) -> None:
    """Add all of these lines. Raises OSError if the disk is full; then none is added."""
    size = os.fstat(fd).st_size
    view = memoryview("".join(lines).encode(errors="replace"))
    try:
        while view:
            view = view[os.write(fd, view) :]
    except OSError:
        os.ftruncate(fd, size)
        raise


def count_lines(fd: int, begin: int, end: int) -> int:
    """Return the number of lines that end between two offsets. Reads one MiB at a time."""
    count = 0
    while begin < end and (piece := os.pread(fd, min(_PIECE, end - begin), begin)):
        count += piece.count(b"\n")
        begin += len(piece)
    return count


def _rotate(path: Path, stamp: str) -> list[str]:
    """Begin a new file. Return the line that reports how many lines were dropped."""
    older = path.with_name(f"{path.name}.1")
    try:
        fd = os.open(older, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        path.rename(older)
        return []
    try:
        count = count_lines(fd, 0, os.fstat(fd).st_size)
    finally:
        os.close(fd)
    path.rename(older)
    kept = f"an app's log keeps its last {ROTATE_AT // 2**20} to {2 * ROTATE_AT // 2**20} MiB"
    return [
        line(stamp, "slipway", "system", f"The oldest {count} lines were dropped, because {kept}.")
    ]


def sweep(folder: Path, *, now: float) -> list[str]:
    """Remove files that a killed process left while it created a log. Return what was done.

    A file that already has its log's name loses only its second name.
    """
    done: list[str] = []
    for fresh in folder.glob(".*"):
        with suppress(FileNotFoundError):  # its process lives and removed it first
            status = fresh.stat()
            if _FRESH.fullmatch(fresh.name) and (
                status.st_nlink > 1 or now - status.st_mtime > _SURELY_LEFT
            ):
                fresh.unlink()
                done.append(
                    f"removed {fresh.name}, which a killed process left when it created a log"
                )
    return done


def _make(path: Path, user: str) -> None:
    """Create an empty file that the portal may read as soon as it has its name.

    A client that follows a log looks for it five times per second.
    """
    fresh = path.with_name(f".{path.name}.{os.getpid()}-{time.monotonic_ns()}")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        give_to_group(fd, user)
        with suppress(FileExistsError):  # another process created it first
            os.link(fresh, path)
    finally:
        os.close(fd)
        fresh.unlink(missing_ok=True)


def give_to_group(fd: int, user: str) -> None:
    """Let the portal read a file: mode 0640, and the group of its user.

    If there is no such user, only root may read it.
    """
    os.fchmod(fd, 0o640)
    try:
        os.fchown(fd, -1, pwd.getpwnam(user).pw_gid)
    except KeyError:
        return
