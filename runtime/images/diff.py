"""What one image's files are beside another's, as `docker diff` says it: A added, C changed, D deleted."""

from __future__ import annotations

import filecmp
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from runtime.images.layers import is_opaque


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


def compare(before: Sequence[Path], after: Sequence[Path]) -> list[Change]:
    """Changes from one stack of unpacked layers to another, both topmost first, by path. What lies below a new folder is told too."""
    old, new = _merged(before), _merged(after)
    changes = [Change(kind=Kind.DELETED, path=f"/{name}") for name in old.keys() - new.keys()]
    changes += [Change(kind=Kind.ADDED, path=f"/{name}", size=_size(new[name])) for name in new.keys() - old.keys()]
    changed = [name for name in old.keys() & new.keys() if not _same(old[name], new[name])]
    changes += [Change(kind=Kind.CHANGED, path=f"/{name}", size=_size(new[name])) for name in changed]
    return sorted(changes, key=lambda change: change.path)


def _merged(layers: Sequence[Path]) -> dict[str, Path]:
    """What a container would see: name to the file that has the say."""
    seen: dict[str, Path] = {}
    for layer in reversed(layers):
        for folder, folders, files in os.walk(layer):
            place = os.path.relpath(folder, layer)
            prefix = "" if place == "." else f"{place}/"
            if prefix and is_opaque(Path(folder)):
                _forget_below(seen, prefix)
            for name in (*folders, *files):
                path, whole = Path(folder, name), f"{prefix}{name}"
                status = path.lstat()
                if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
                    seen.pop(whole, None)
                    _forget_below(seen, f"{whole}/")
                    continue
                if not stat.S_ISDIR(status.st_mode) and whole in seen and seen[whole].is_dir():
                    _forget_below(seen, f"{whole}/")
                seen[whole] = path
    return seen


def _forget_below(seen: dict[str, Path], prefix: str) -> None:
    for name in [name for name in seen if name.startswith(prefix)]:
        del seen[name]


def _size(path: Path) -> int:
    status = path.lstat()
    return status.st_size if stat.S_ISREG(status.st_mode) else 0


def _same(one: Path, two: Path) -> bool:
    if one == two:
        return True
    a, b = one.lstat(), two.lstat()
    if (a.st_mode, a.st_uid, a.st_gid) != (b.st_mode, b.st_uid, b.st_gid):
        return False
    if stat.S_ISLNK(a.st_mode):
        return one.readlink() == two.readlink()
    if stat.S_ISREG(a.st_mode):
        return a.st_size == b.st_size and filecmp.cmp(one, two, shallow=False)
    return a.st_rdev == b.st_rdev
