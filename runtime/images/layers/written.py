"""What one writable layer says beside the image below it, as `docker diff` tells it: what an instance wrote.

Runs in a confined helper. The instance may go on writing, and means no good: folders are opened one below the other and never through
a link, what vanishes meanwhile is passed over, and there is an end to what is looked at.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass

from runtime.confined.registry import confined
from runtime.images.layers.diff import Change, Kind
from runtime.images.layers.layer import is_opaque, is_whiteout
from runtime.trees.folder import Folder

MOST_CHANGES = 100_000
MOST_ENTRIES = 1_000_000  # looked at, changes or not
DEEPEST = 200  # folders, each of which is a file descriptor


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """Changes by path; not `whole` where there were more than anyone reads."""

    changes: tuple[Change, ...]
    whole: bool


@confined
def written(upper: Folder, layers: tuple[Folder, ...], ignored: frozenset[str], most: int) -> Written:
    """An overlay's upper beside its `layers`, topmost first, all with the ids that are seen inside; `ignored` are mount points of ours.

    A file that was opened to be written counts as changed, for the overlay has copied it; a folder only where its mode or owner did.
    """
    walk = _Walk(ignored=ignored, most=most)
    walk.run(upper, layers)
    return Written(changes=tuple(sorted(walk.changes, key=lambda change: change.path)), whole=walk.whole)


@dataclass(slots=True, kw_only=True)
class _Open:
    """A folder of the upper that is being looked through."""

    folder: Folder
    path: str  # "" is the top
    names: list[str]
    below: list[Folder]  # the folders of the layers that it hides or joins, topmost first


class _Walk:
    def __init__(self, *, ignored: frozenset[str], most: int) -> None:
        self._ignored, self._most = ignored, most
        self.changes: list[Change] = []
        self.whole = True

    def run(self, upper: Folder, layers: Sequence[Folder]) -> None:
        stack, looked = [_opened(upper.subfolder("."), "", [layer.subfolder(".") for layer in layers])], 0
        try:
            while stack and self.whole:
                folder = stack[-1]
                if not folder.names:
                    _close(stack.pop())
                    continue
                looked += 1
                if (child := self._look(folder, folder.names.pop())) is not None:
                    stack.append(child)
                self.whole = looked < MOST_ENTRIES and len(self.changes) < self._most and len(stack) <= DEEPEST
        finally:
            for folder in stack:
                _close(folder)

    def _look(self, folder: _Open, name: str) -> _Open | None:
        """Note what became of a name; the folder to go on with, if it is one."""
        path = f"{folder.path}/{name}"
        if path in self._ignored:
            return None
        status = folder.folder.find(name)
        if status is None:
            return None
        before, joined = _beneath(folder.below, name)
        if is_whiteout(status):
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

    def _entered(self, folder: _Open, name: str, path: str, joined: list[_Place]) -> _Open | None:
        try:
            below = folder.folder.subfolder(name)
        except (FileNotFoundError, NotADirectoryError):  # it became something else just now
            return None
        opaque = is_opaque(below)
        hidden = [place.folder.subfolder(place.name) for place in joined]
        child = _opened(below, path, [] if opaque else hidden)
        if opaque:
            kept = set(child.names)
            for gone in sorted(_names(hidden) - kept):
                self._note(Kind.DELETED, f"{path}/{gone}", 0)
            for one in hidden:
                one.close()
        return child

    def _note(self, kind: Kind, path: str, size: int) -> None:
        self.changes.append(Change(kind=kind, path=path, size=size))

    def _differs(self, status: os.stat_result, before: os.stat_result) -> bool:
        return (status.st_mode, status.st_uid, status.st_gid) != (before.st_mode, before.st_uid, before.st_gid)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """A name in a folder of a layer."""

    folder: Folder
    name: str


def _opened(folder: Folder, path: str, below: list[Folder]) -> _Open:
    return _Open(folder=folder, path=path, names=sorted(folder.names(), reverse=True), below=below)


def _close(opened: _Open) -> None:
    for folder in (opened.folder, *opened.below):
        folder.close()


def _beneath(folders: Sequence[Folder], name: str) -> tuple[os.stat_result | None, list[_Place]]:
    """What the layers have under a name, and the folders that join there where it is one."""
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
    """What a container would see in folders that join, topmost first."""
    seen: set[str] = set()
    gone: set[str] = set()
    for folder in folders:
        for entry in folder.entries():
            if is_whiteout(entry.status):
                gone.add(entry.name)
            elif entry.name not in gone:
                seen.add(entry.name)
    return seen
