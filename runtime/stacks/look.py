"""Reads of unpacked layers what the verdict on an upgrade needs. Layers are given topmost first; no link in them is followed."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from runtime.images.layers import is_opaque
from runtime.stacks.verdict import Contents, Upper

_STATUS = "var/lib/dpkg/status"
_INFO = "var/lib/dpkg/info"
_PACKAGE_STATE = "var/lib/dpkg"
_CODENAME = re.compile(r"^VERSION_CODENAME=\"?([\w.-]*)", re.MULTILINE)


def contents(stack: str, runtimes: tuple[str, ...], layers: Sequence[Path]) -> Contents:
    """What a foundation offers."""
    release = _text(layers, "usr/lib/os-release") or _text(layers, "etc/os-release")
    codename = _CODENAME.search(release)
    return Contents(
        stack=stack,
        runtimes=runtimes,
        suite=codename[1] if codename else "",
        packages=dict(_packages(_text(layers, _STATUS))),
        libraries=frozenset(_libraries(layers)),
    )


def upper(layers: Sequence[Path], old: Sequence[Path], new: Sequence[Path]) -> Upper:
    """What layers above the foundation `old` would hide of `new`."""
    hidden: set[str] = set()
    for layer in layers:
        hidden.update(_hidden(layer, "", old, new))
    state = any(find((layer,), _PACKAGE_STATE) for layer in layers)
    return Upper(hidden=tuple(sorted(hidden)), package_state=state)


def find(layers: Sequence[Path], name: str) -> Path | None:
    """Where the union of layers shows a path, as overlayfs decides it (Documentation/filesystems/overlayfs.rst)."""
    parts = name.split("/")
    for layer in layers:
        path, covers = layer, False  # covers: what is below in this path is not seen
        for number, part in enumerate(parts):
            path /= part
            try:
                status = path.lstat()
            except FileNotFoundError:
                break
            if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
                return None
            if number == len(parts) - 1:
                return path
            if not stat.S_ISDIR(status.st_mode):
                return None
            covers = covers or is_opaque(path)
        if covers:
            return None
    return None


def _hidden(layer: Path, below: str, old: Sequence[Path], new: Sequence[Path]) -> Iterator[str]:
    """Paths of a layer that exist below it, in either foundation, and are not the same in both."""
    for entry in os.scandir(layer / below):
        name = f"{below}/{entry.name}".lstrip("/")
        before, after = find(old, name), find(new, name)
        if before is None and after is None:
            continue
        merged = entry.is_dir(follow_symlinks=False) and not is_opaque(Path(entry.path))  # else it hides all that is below
        if _print(before) != _print(after) or (not merged and _listing(old, name) != _listing(new, name)):
            yield name
        elif merged:
            yield from _hidden(layer, name, old, new)


def _print(path: Path | None) -> tuple[object, ...]:
    """What makes two files the same to who uses them: times do not."""
    if path is None:
        return ()
    status = path.lstat()
    seen: tuple[object, ...] = (status.st_mode, status.st_uid, status.st_gid)
    if stat.S_ISLNK(status.st_mode):
        return (*seen, str(path.readlink()))
    if stat.S_ISREG(status.st_mode):
        with path.open("rb") as file:
            return (*seen, hashlib.file_digest(file, "sha256").digest())
    return seen


def _listing(layers: Sequence[Path], name: str) -> list[tuple[str, tuple[object, ...]]]:
    """All files that a folder of a foundation holds; none where it is no folder."""
    names: set[str] = set()
    for layer in layers:
        top = find((layer,), name)
        if top is not None and stat.S_ISDIR(top.lstat().st_mode):
            names |= {str(Path(folder, file).relative_to(layer)) for folder, _, files in os.walk(top) for file in files}
    return [(one, _print(find(layers, one))) for one in sorted(names)]


def _packages(status: str) -> Iterator[tuple[str, str]]:
    for paragraph in status.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in paragraph.splitlines() if ": " in line and not line.startswith(" "))
        if fields.get("Status", "").endswith(" installed") and "Package" in fields:
            yield fields["Package"], fields.get("Version", "")


def _libraries(layers: Sequence[Path]) -> Iterator[str]:
    """Names and ABI versions from the packages' own declarations (deb-shlibs(5))."""
    names = {path.name for layer in layers for path in (layer / _INFO).glob("*.shlibs")}
    for name in names:
        for line in _text(layers, f"{_INFO}/{name}").splitlines():
            words = [word for word in line.split() if not word.endswith(":")]  # a kind of package may stand in front
            if len(words) >= 2:
                yield f"{words[0]} {words[1]}"


def _text(layers: Sequence[Path], name: str) -> str:
    path = find(layers, name)
    if path is None or not stat.S_ISREG(path.lstat().st_mode):
        return ""
    return path.read_text(errors="replace")
