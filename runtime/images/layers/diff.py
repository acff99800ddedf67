"""The comparison of the files of two images, like `docker diff`: A added, C changed, D deleted.

It runs in a confined helper.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from runtime.confined.registry import confined, returns_many_names
from runtime.images.layers.layer import is_opaque, is_whiteout
from runtime.trees.folder import Folder
from runtime.trees.walk import walk

_PIECE = 1 << 18


class ChangeKind(StrEnum):
    ADDED = "A"
    CHANGED = "C"
    DELETED = "D"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    kind: ChangeKind
    path: str  # absolute, as in the container; any bytes except zero, decoded by os.fsdecode
    size: int = 0  # bytes of the file after the change

    @property
    def text(self) -> str:
        """Return the path in a form that is safe to show.

        A name can contain bytes that are not text, line ends, and control sequences for a terminal.
        """
        return safe(self.path)


def safe(name: str) -> str:
    """Return a name or a line without bytes that are not text, and without control characters."""
    readable = os.fsencode(name).decode(errors="backslashreplace")
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in readable
    )


@confined
@returns_many_names
def compare(before: tuple[Folder, ...], after: tuple[Folder, ...]) -> list[Change]:
    """Return the changes from one stack of unpacked layers to another, by path.

    Both are topmost first. The content of a new folder is included.
    """
    return changes_between(merged(before), merged(after))


def changes_between(old: Mapping[str, Shown], new: Mapping[str, Shown]) -> list[Change]:
    """Return the changes between two merged stacks, by path."""
    changes = [Change(kind=ChangeKind.DELETED, path=f"/{name}") for name in old.keys() - new.keys()]
    changes += [
        Change(kind=ChangeKind.ADDED, path=f"/{name}", size=new[name].size)
        for name in new.keys() - old.keys()
    ]
    changed = [name for name in old.keys() & new.keys() if not _same(name, old[name], new[name])]
    changes += [
        Change(kind=ChangeKind.CHANGED, path=f"/{name}", size=new[name].size) for name in changed
    ]
    return sorted(changes, key=lambda change: change.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """The file or folder that a container sees under a name, and its layer."""

    layer: Folder
    status: os.stat_result

    @property
    def size(self) -> int:
        return self.status.st_size if stat.S_ISREG(self.status.st_mode) else 0


def merged(layers: Sequence[Folder]) -> dict[str, Shown]:
    """Return the entries that a container would see, by name. Layers are topmost first."""
    seen: dict[str, Shown] = {}
    for layer in reversed(layers):
        for found in walk(layer):
            if is_whiteout(found.status):
                seen.pop(found.path, None)
                _forget_below(seen, f"{found.path}/")
                continue
            before = seen.get(found.path)
            if found.is_folder:
                if is_opaque(found.folder, found.name):
                    _forget_below(seen, f"{found.path}/")
            elif before is not None and stat.S_ISDIR(before.status.st_mode):
                _forget_below(seen, f"{found.path}/")
            seen[found.path] = Shown(layer=layer, status=found.status)
    return seen


def _forget_below(seen: dict[str, Shown], prefix: str) -> None:
    for name in [name for name in seen if name.startswith(prefix)]:
        del seen[name]


def _same(name: str, old: Shown, new: Shown) -> bool:
    a, b = old.status, new.status
    if os.path.samestat(a, b):
        return True
    if (a.st_mode, a.st_uid, a.st_gid) != (b.st_mode, b.st_uid, b.st_gid):
        return False
    if stat.S_ISLNK(a.st_mode):
        return old.layer.read_link(name) == new.layer.read_link(name)
    if stat.S_ISREG(a.st_mode):
        return a.st_size == b.st_size and _same_bytes(name, old.layer, new.layer)
    return a.st_rdev == b.st_rdev


def _same_bytes(name: str, before: Folder, after: Folder) -> bool:
    with before.open_file(name) as first, after.open_file(name) as second:
        while data := first.read(_PIECE):
            if data != second.read(_PIECE):
                return False
    return True
