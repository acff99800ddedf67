"""Compare the files of two images, as `docker diff` does: A added, C changed, D deleted. Runs in a confined helper."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from runtime.confined.registry import confined
from runtime.images.layers.layer import is_opaque, is_whiteout
from runtime.trees.folder import Folder
from runtime.trees.walk import walk

_PIECE = 1 << 18


class Kind(StrEnum):
    ADDED = "A"
    CHANGED = "C"
    DELETED = "D"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    kind: Kind
    path: str  # absolute, as a container sees it; any bytes but zero, as os.fsdecode gives them
    size: int = 0  # bytes of the file as it is afterwards

    @property
    def text(self) -> str:
        """The path as it may be shown: a name can hold bytes that are no text, line ends, and sequences that a terminal obeys."""
        readable = os.fsencode(self.path).decode(errors="backslashreplace")
        return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in readable)


@confined
def compare(before: tuple[Folder, ...], after: tuple[Folder, ...]) -> list[Change]:
    """Changes from one stack of unpacked layers to another, both topmost first, by path. What lies below a new folder is told too."""
    old, new = _merged(before), _merged(after)
    changes = [Change(kind=Kind.DELETED, path=f"/{name}") for name in old.keys() - new.keys()]
    changes += [Change(kind=Kind.ADDED, path=f"/{name}", size=new[name].size) for name in new.keys() - old.keys()]
    changed = [name for name in old.keys() & new.keys() if not _same(name, old[name], new[name])]
    changes += [Change(kind=Kind.CHANGED, path=f"/{name}", size=new[name].size) for name in changed]
    return sorted(changes, key=lambda change: change.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """What a container sees under a name, and the layer that it is of."""

    layer: Folder
    status: os.stat_result

    @property
    def size(self) -> int:
        return self.status.st_size if stat.S_ISREG(self.status.st_mode) else 0


def _merged(layers: Sequence[Folder]) -> dict[str, _Shown]:
    """What a container would see: name to the entry that counts."""
    seen: dict[str, _Shown] = {}
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
            seen[found.path] = _Shown(layer=layer, status=found.status)
    return seen


def _forget_below(seen: dict[str, _Shown], prefix: str) -> None:
    for name in [name for name in seen if name.startswith(prefix)]:
        del seen[name]


def _same(name: str, one: _Shown, two: _Shown) -> bool:
    a, b = one.status, two.status
    if os.path.samestat(a, b):
        return True
    if (a.st_mode, a.st_uid, a.st_gid) != (b.st_mode, b.st_uid, b.st_gid):
        return False
    if stat.S_ISLNK(a.st_mode):
        return one.layer.read_link(name) == two.layer.read_link(name)
    if stat.S_ISREG(a.st_mode):
        return a.st_size == b.st_size and _same_bytes(name, one.layer, two.layer)
    return a.st_rdev == b.st_rdev


def _same_bytes(name: str, one: Folder, two: Folder) -> bool:
    with one.open_file(name) as first, two.open_file(name) as second:
        while data := first.read(_PIECE):
            if data != second.read(_PIECE):
                return False
    return True
