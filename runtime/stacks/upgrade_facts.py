"""Read unpacked layers for the verdict on an upgrade.

Layers are given topmost first; no link in them is followed.
Some of them belong to a tenant, so this runs in a confined helper.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from runtime.confined.registry import confined
from runtime.images.layers.layer import is_opaque, is_whiteout
from runtime.stacks.verdict import Contents, Upper
from runtime.trees.folder import Folder
from runtime.trees.walk import walk

_STATUS = "var/lib/dpkg/status"
_INFO = "var/lib/dpkg/info"
_PACKAGE_STATE = "var/lib/dpkg"
_LARGEST = 64 << 20  # bytes of one text
_CODENAME = re.compile(r"^VERSION_CODENAME=\"?([\w.-]*)", re.MULTILINE)


@confined
def contents(stack: str, runtimes: tuple[str, ...], layers: tuple[Folder, ...]) -> Contents:
    """Return the contents of a foundation."""
    release = _text(layers, "usr/lib/os-release") or _text(layers, "etc/os-release")
    codename = _CODENAME.search(release)
    return Contents(
        stack=stack,
        runtimes=runtimes,
        suite=codename[1] if codename else "",
        packages=dict(_packages(_text(layers, _STATUS))),
        libraries=frozenset(_libraries(layers)),
    )


@confined
def upper(layers: tuple[Folder, ...], old: tuple[Folder, ...], new: tuple[Folder, ...]) -> Upper:
    """Return the files of `new` that layers above the foundation `old` would hide."""
    hidden: set[str] = set()
    for layer in layers:
        hidden.update(_hidden(layer, "", old, new))
    state = any(find((layer,), _PACKAGE_STATE) for layer in layers)
    return Upper(hidden=tuple(sorted(hidden)), package_state=state)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The place where a union of layers shows a path."""

    layer: Folder
    name: str
    status: os.stat_result


def find(layers: Sequence[Folder], name: str) -> Place | None:
    """Return where the union of layers shows a path, as overlayfs decides it
    (Documentation/filesystems/overlayfs.rst).
    """
    parts = name.split("/")
    for layer in layers:
        covers = False  # lower layers are hidden in this path
        for number in range(1, len(parts) + 1):
            path = "/".join(parts[:number])
            status = layer.find(path)
            if status is None:
                break
            if is_whiteout(status):
                return None
            if number == len(parts):
                return Place(layer=layer, name=path, status=status)
            if not stat.S_ISDIR(status.st_mode):
                return None
            covers = covers or is_opaque(layer, path)
        if covers:
            return None
    return None


def _hidden(
    layer: Folder, below: str, old: Sequence[Folder], new: Sequence[Folder]
) -> Iterator[str]:
    """Yield paths of a layer that exist in either foundation below it and differ between both."""
    for entry in layer.entries(below):
        name = f"{below}/{entry.name}".lstrip("/")
        before, after = find(old, name), find(new, name)
        if before is None and after is None:
            continue
        merged = entry.is_folder and not is_opaque(
            layer, name
        )  # otherwise it hides everything below
        if _print(before) != _print(after) or (
            not merged and _listing(old, name) != _listing(new, name)
        ):
            yield name
        elif merged:
            yield from _hidden(layer, name, old, new)


def _print(place: Place | None) -> tuple[object, ...]:
    """Return the properties that make two files equal for their users. Times are not among them."""
    if place is None:
        return ()
    status = place.status
    seen: tuple[object, ...] = (status.st_mode, status.st_uid, status.st_gid)
    if stat.S_ISLNK(status.st_mode):
        return (*seen, place.layer.read_link(place.name))
    if stat.S_ISREG(status.st_mode):
        return (*seen, place.layer.digest(place.name))
    return seen


def _listing(layers: Sequence[Folder], name: str) -> list[tuple[str, tuple[object, ...]]]:
    """Return all files in a folder of a foundation; none if it is not a folder."""
    names: set[str] = set()
    for layer in layers:
        top = find((layer,), name)
        if top is not None and stat.S_ISDIR(top.status.st_mode):
            with layer.subfolder(name) as folder:
                names |= {f"{name}/{found.path}" for found in walk(folder) if not found.is_folder}
    return [(path, _print(find(layers, path))) for path in sorted(names)]


def _packages(status: str) -> Iterator[tuple[str, str]]:
    for paragraph in status.split("\n\n"):
        fields = dict(
            line.split(": ", 1)
            for line in paragraph.splitlines()
            if ": " in line and not line.startswith(" ")
        )
        if fields.get("Status", "").endswith(" installed") and "Package" in fields:
            yield fields["Package"], fields.get("Version", "")


def _libraries(layers: Sequence[Folder]) -> Iterator[str]:
    """Yield names and ABI versions from the packages' own declarations (deb-shlibs(5))."""
    names = {
        name
        for layer in layers
        if layer.is_folder(_INFO)
        for name in layer.names(_INFO)
        if name.endswith(".shlibs")
    }
    for name in names:
        for line in _text(layers, f"{_INFO}/{name}").splitlines():
            words = [
                word for word in line.split() if not word.endswith(":")
            ]  # the line may start with a package type
            if len(words) >= 2:
                yield f"{words[0]} {words[1]}"


def _text(layers: Sequence[Folder], name: str) -> str:
    place = find(layers, name)
    if place is None or not stat.S_ISREG(place.status.st_mode):
        return ""
    return place.layer.read(place.name, _LARGEST).decode(errors="replace")
