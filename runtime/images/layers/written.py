"""The changes in an instance's writable layer compared with its image, like `docker diff`.

It runs in a confined helper. The instance is untrusted and may continue to write. So folders are
opened one below the other, never through a link. Files that vanish are skipped, and the walk has
limits.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass

from runtime.confined.registry import confined, returns_many_names
from runtime.images.layers.diff import Change, ChangeKind
from runtime.images.layers.layer import is_opaque, is_whiteout
from runtime.trees.folder import Folder

MOST_CHANGES = 100_000
_MOST_PATHS = 8 << 20  # bytes of all paths together: the host keeps the list in memory
MOST_ENTRIES = 1_000_000  # read, changed or not
DEEPEST = 200  # folders, each with an open file descriptor


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The changes by path. `whole` is False if a limit ended the walk."""

    changes: tuple[Change, ...]
    whole: bool


@confined
@returns_many_names
def written(
    upper: Folder, layers: tuple[Folder, ...], ignored: frozenset[str], most: int
) -> Written:
    """Compare an overlay's upper with its `layers`, topmost first.

    `ignored` are the platform's mount points.

    All folders have the ids that are seen inside the container. A file that was opened for writing
    counts as changed, because the overlay has copied it. A folder counts only if its mode or owner
    changed.
    """
    walk = _Walk(ignored=ignored, most=most)
    walk.run(upper, layers)
    return Written(
        changes=tuple(sorted(walk.changes, key=lambda change: change.path)), whole=walk.whole
    )


@dataclass(slots=True, kw_only=True)
class _Open:
    """A folder of the upper whose entries are being read."""

    folder: Folder
    path: str  # "" is the top
    names: list[str]
    below: list[Folder]  # the same folder in the layers below, topmost first


class _Walk:
    def __init__(self, *, ignored: frozenset[str], most: int) -> None:
        self._ignored, self._most = ignored, most
        self.changes: list[Change] = []
        self.whole = True
        self._paths = 0

    def run(self, upper: Folder, layers: Sequence[Folder]) -> None:
        stack, looked = (
            [_opened(upper.subfolder("."), "", [layer.subfolder(".") for layer in layers])],
            0,
        )
        try:
            while stack and self.whole:
                folder = stack[-1]
                if not folder.names:
                    _close(stack.pop())
                    continue
                looked += 1
                if (child := self._look(folder, folder.names.pop())) is not None:
                    stack.append(child)
                self.whole = (
                    looked < MOST_ENTRIES
                    and len(self.changes) < self._most
                    and self._paths < _MOST_PATHS
                    and len(stack) <= DEEPEST
                )
        finally:
            for folder in stack:
                _close(folder)

    def _look(self, folder: _Open, name: str) -> _Open | None:
        """Record the change of a name. Return the folder to continue with, if the name is one."""
        path = f"{folder.path}/{name}"
        if path in self._ignored:
            return None
        status = folder.folder.find(name)
        if status is None:
            return None
        before, joined = _beneath(folder.below, name)
        if is_whiteout(status):
            if before is not None:
                self._note(ChangeKind.DELETED, path, 0)
            return None
        if not stat.S_ISDIR(status.st_mode):
            self._note(
                ChangeKind.ADDED if before is None else ChangeKind.CHANGED, path, status.st_size
            )
            return None
        if before is None:
            self._note(ChangeKind.ADDED, path, 0)
        elif not stat.S_ISDIR(before.st_mode) or self._differs(status, before):
            self._note(ChangeKind.CHANGED, path, 0)
        return self._entered(folder, name, path, joined)

    def _entered(self, folder: _Open, name: str, path: str, joined: list[_Place]) -> _Open | None:
        try:
            below = folder.folder.subfolder(name)
        except (FileNotFoundError, NotADirectoryError):  # it was just removed or replaced
            return None
        opaque = is_opaque(below)
        hidden = [place.folder.subfolder(place.name) for place in joined]
        child = _opened(below, path, [] if opaque else hidden)
        if opaque:
            kept = set(child.names)
            for gone in sorted(_names(hidden) - kept):
                self._note(ChangeKind.DELETED, f"{path}/{gone}", 0)
            for folder_below in hidden:
                folder_below.close()
        return child

    def _note(self, kind: ChangeKind, path: str, size: int) -> None:
        self._paths += len(os.fsencode(path))
        self.changes.append(Change(kind=kind, path=path, size=size))

    def _differs(self, status: os.stat_result, before: os.stat_result) -> bool:
        return (status.st_mode, status.st_uid, status.st_gid) != (
            before.st_mode,
            before.st_uid,
            before.st_gid,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """The place of a name: a folder of a layer, and the name in it."""

    folder: Folder
    name: str


def _opened(folder: Folder, path: str, below: list[Folder]) -> _Open:
    return _Open(folder=folder, path=path, names=sorted(folder.names(), reverse=True), below=below)


def _close(opened: _Open) -> None:
    for folder in (opened.folder, *opened.below):
        folder.close()


def _beneath(folders: Sequence[Folder], name: str) -> tuple[os.stat_result | None, list[_Place]]:
    """Return the topmost entry under a name, and the folders that are merged there."""
    first: os.stat_result | None = None
    joined: list[_Place] = []
    for folder in folders:
        status = folder.find(name)
        if status is None:
            continue
        if is_whiteout(status):
            break
        first = first or status
        if not stat.S_ISDIR(status.st_mode) or not stat.S_ISDIR(first.st_mode):
            break
        joined.append(_Place(folder=folder, name=name))
        if is_opaque(folder, name):
            break
    return first, joined


def _names(folders: Sequence[Folder]) -> set[str]:
    """Return the names that a container would see in merged folders, topmost first."""
    seen: set[str] = set()
    gone: set[str] = set()
    for folder in folders:
        for entry in folder.entries():
            if is_whiteout(entry.status):
                gone.add(entry.name)
            elif entry.name not in gone:
                seen.add(entry.name)
    return seen
