"""What one writable layer says beside the image below it, as `docker diff` tells it: what an instance wrote.

The instance may go on writing, and means no good: folders are opened one below the other and never through a link (openat(2),
O_NOFOLLOW), what vanishes meanwhile is passed over, and there is an end to what is looked at.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from runtime.images.diff import Change, Kind
from runtime.images.layers import is_opaque

MOST_CHANGES = 100_000
MOST_ENTRIES = 1_000_000  # looked at, changes or not
DEEPEST = 200  # folders, each of which is a file descriptor
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPAQUE = "trusted.overlay.opaque"


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """Changes by path; not `whole` where there were more than anyone reads."""

    changes: tuple[Change, ...]
    whole: bool


def written(upper: Path, layers: Sequence[Path], *, first_id: int, ignored: frozenset[str], most: int = MOST_CHANGES) -> Written:
    """An overlay's upper beside its `layers`, topmost first. Its ids are shifted by `first_id`; `ignored` are mount points of ours.

    A file that was opened to be written counts as changed, for the overlay has copied it; a folder only where its mode or owner did.
    """
    walk = _Walk(first_id=first_id, ignored=ignored, most=most)
    walk.run(upper, layers)
    return Written(changes=tuple(sorted(walk.changes, key=lambda change: change.path)), whole=walk.whole)


@dataclass(slots=True, kw_only=True)
class _Open:
    """A folder of the upper that is being looked through."""

    fd: int
    path: str  # "" is the top
    names: list[str]
    below: list[Path]  # the folders of the layers that it hides or joins, topmost first


class _Walk:
    def __init__(self, *, first_id: int, ignored: frozenset[str], most: int) -> None:
        self._first_id, self._ignored, self._most = first_id, ignored, most
        self.changes: list[Change] = []
        self.whole = True

    def run(self, upper: Path, layers: Sequence[Path]) -> None:
        stack, looked = [_opened(os.open(upper, _FOLDER), "", list(layers))], 0
        try:
            while stack and self.whole:
                folder = stack[-1]
                if not folder.names:
                    os.close(stack.pop().fd)
                    continue
                looked += 1
                if (child := self._look(folder, folder.names.pop())) is not None:
                    stack.append(child)
                self.whole = looked < MOST_ENTRIES and len(self.changes) < self._most and len(stack) <= DEEPEST
        finally:
            for folder in stack:
                os.close(folder.fd)

    def _look(self, folder: _Open, name: str) -> _Open | None:
        """Note what became of a name; the folder to go on with, if it is one."""
        path = f"{folder.path}/{name}"
        if path in self._ignored:
            return None
        try:
            status = os.stat(name, dir_fd=folder.fd, follow_symlinks=False)
        except FileNotFoundError:
            return None
        before, joined = _beneath(folder.below, name)
        if _is_whiteout(status):
            if before is not None:
                self._note(Kind.DELETED, path, 0)
            return None
        if not stat.S_ISDIR(status.st_mode):
            self._note(Kind.ADDED if before is None else Kind.CHANGED, path, status.st_size)
            return None
        if before is None:
            self._note(Kind.ADDED, path, 0)
        elif not stat.S_ISDIR(before.st_mode) or self._differs(status, before):
            self._note(Kind.CHANGED, path, 0)
        return self._entered(folder, name, path, joined)

    def _entered(self, folder: _Open, name: str, path: str, joined: list[Path]) -> _Open | None:
        try:
            fd = os.open(name, _FOLDER, dir_fd=folder.fd)
        except (FileNotFoundError, NotADirectoryError):  # it became something else just now
            return None
        opaque = _is_opaque(fd)
        child = _opened(fd, path, [] if opaque else joined)
        if opaque:
            kept = set(child.names)
            for gone in sorted(_names(joined) - kept):
                self._note(Kind.DELETED, f"{path}/{gone}", 0)
        return child

    def _note(self, kind: Kind, path: str, size: int) -> None:
        self.changes.append(Change(kind=kind, path=path, size=size))

    def _differs(self, status: os.stat_result, before: os.stat_result) -> bool:
        ours = (status.st_mode, status.st_uid - self._first_id, status.st_gid - self._first_id)
        return ours != (before.st_mode, before.st_uid, before.st_gid)


def _opened(fd: int, path: str, below: list[Path]) -> _Open:
    return _Open(fd=fd, path=path, names=sorted(os.listdir(fd), reverse=True), below=below)


def _beneath(folders: Sequence[Path], name: str) -> tuple[os.stat_result | None, list[Path]]:
    """What the layers have under a name, and the folders that join there where it is one."""
    first: os.stat_result | None = None
    joined: list[Path] = []
    for folder in folders:
        path = folder / name
        try:
            status = path.lstat()
        except FileNotFoundError:
            continue
        if _is_whiteout(status):
            break
        first = first or status
        if not stat.S_ISDIR(status.st_mode) or not stat.S_ISDIR(first.st_mode):
            break
        joined.append(path)
        if is_opaque(path):
            break
    return first, joined


def _names(folders: Sequence[Path]) -> set[str]:
    """What a container would see in folders that join, topmost first."""
    seen: set[str] = set()
    gone: set[str] = set()
    for folder in folders:
        for entry in os.scandir(folder):
            if _is_whiteout(entry.stat(follow_symlinks=False)):
                gone.add(entry.name)
            elif entry.name not in gone:
                seen.add(entry.name)
    return seen


def _is_whiteout(status: os.stat_result) -> bool:
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def _is_opaque(fd: int) -> bool:
    return _OPAQUE in os.listxattr(fd) and os.getxattr(fd, _OPAQUE) == b"y"
