"""The comparison of the images of two releases: files, packages, and the text of changed code.

It runs in a confined helper. All of its work is bounded: images come from tenants.
"""

from __future__ import annotations

import difflib
import json
import re
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from runtime.confined.registry import confined, returns_many_names
from runtime.images.layers.diff import Change, ChangeKind, Shown, changes_between, merged, safe
from runtime.trees.folder import Folder

MOST_FILES = 40  # whose text is compared
MOST_TEXT = 24_000  # characters of all differences
MOST_LINES = 400  # of all differences
MOST_SECONDS = 5.0  # for texts; difflib is slow for files with many equal lines
_LARGEST = 64 << 10  # bytes of a file whose text is compared
_MOST_LINES = 1500
_LONGEST_LINE = 400
_MOST_PACKAGES = 2000
_MOST_READ = 4000  # package.json files
_LARGEST_LIST = 8 << 20  # bytes of a package manager's list
# folders whose files are packages, caches or made by a build
_FOREIGN = re.compile(
    r"(^|/)(node_modules|\.venv|venv|vendor|__pycache__|\.git|\.next|dist-packages|site-packages)/"
)
_BY_NAME = (  # packages whose name and version are in a path
    ("Python", re.compile(r"-packages/([^/]+)-([^/-]+)\.dist-info/METADATA$")),
    ("Ruby", re.compile(r"/specifications/(?:default/)?([^/]+)-(\d[^/-]*)\.gemspec$")),
)
_NODE = re.compile(r"node_modules/((?:@[^/]+/)?[^/@][^/]*)/package\.json$")
_LISTS = (  # files with one paragraph per package
    ("Debian", "var/lib/dpkg/status", "Package: ", "Version: "),
    ("Alpine", "lib/apk/db/installed", "P:", "V:"),
)
Packages = dict[tuple[str, str], str]  # (system, name) -> version


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageChange:
    """A package whose version differs. An empty version means that it is not there."""

    system: str  # Python, Node.js, Ruby, Debian or Alpine
    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TextDiff:
    """The difference of a text file, as lines of a unified diff without the two head lines."""

    path: str
    lines: tuple[str, ...]
    is_cut: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseDiff:
    """All of a comparison. `texts_left_out`: changed text files that are not in `texts`."""

    changes: tuple[Change, ...]
    packages: tuple[PackageChange, ...]
    texts: tuple[TextDiff, ...]
    texts_left_out: int


@confined
@returns_many_names
def compare_releases(
    before: tuple[Folder, ...], after: tuple[Folder, ...], folder: str
) -> ReleaseDiff:
    """Compare two stacks of unpacked layers, both topmost first.

    Texts are compared of files below `folder`, a path without a leading slash. "" compares none.
    """
    old, new = merged(before), merged(after)
    changes = changes_between(old, new)
    texts, left_out = _texts(changes, old, new, folder) if folder else ([], 0)
    return ReleaseDiff(
        changes=tuple(changes),
        packages=tuple(_packages(changes, old, new)),
        texts=tuple(texts),
        texts_left_out=left_out,
    )


def _texts(
    changes: Sequence[Change], old: Mapping[str, Shown], new: Mapping[str, Shown], folder: str
) -> tuple[list[TextDiff], int]:
    found: list[TextDiff] = []
    left, rows, left_out = MOST_TEXT, MOST_LINES, 0
    deadline = time.monotonic() + MOST_SECONDS
    prefix = f"/{folder.strip('/')}/"
    for change in changes:
        name = change.path[1:]
        if not change.path.startswith(prefix) or _FOREIGN.search(name):
            continue
        first, second = _text_of(name, old), _text_of(name, new)
        if first is None or second is None or first == second:
            continue
        if len(found) == MOST_FILES or min(left, rows) <= 0 or time.monotonic() > deadline:
            left_out += 1
            continue
        lines = [
            safe(line[:_LONGEST_LINE])
            for line in list(difflib.unified_diff(first, second, lineterm=""))[2:]
        ]
        kept: list[str] = []
        for line in lines[:rows]:
            if (left := left - len(line) - 1) <= 0:
                break
            kept.append(line)
        rows -= len(kept)
        found.append(TextDiff(path=change.text, lines=tuple(kept), is_cut=len(kept) < len(lines)))
    return found, left_out


def _text_of(name: str, stack: Mapping[str, Shown]) -> list[str] | None:
    """Return the lines of a file; [] if it does not exist, None if it is not a short text."""
    shown = stack.get(name)
    if shown is None:
        return []
    if not stat.S_ISREG(shown.status.st_mode) or shown.status.st_size > _LARGEST:
        return None
    data = shown.layer.read(name, _LARGEST)
    if b"\0" in data:
        return None
    try:
        lines = data.decode().splitlines()
    except UnicodeDecodeError:
        return None
    return lines if len(lines) <= _MOST_LINES else None


def _packages(
    changes: Sequence[Change], old: Mapping[str, Shown], new: Mapping[str, Shown]
) -> list[PackageChange]:
    """Return the packages that differ, by system and name."""
    before, after = Packages(), Packages()
    read = 0
    for change in changes:
        name = change.path[1:]
        for system, pattern in _BY_NAME:
            if match := pattern.search(name):
                if change.kind is not ChangeKind.ADDED:
                    before[system, match[1]] = match[2]
                if change.kind is not ChangeKind.DELETED:
                    after[system, match[1]] = match[2]
        if (match := _NODE.search(name)) and read < _MOST_READ:
            read += 1
            for stack, packages in ((old, before), (new, after)):
                if version := _node_version(name, stack):
                    packages["Node.js", match[1]] = version
    for system, path, *keys in _LISTS:
        if any(change.path == f"/{path}" for change in changes):
            for stack, packages in ((old, before), (new, after)):
                packages.update(
                    {(system, name): version for name, version in _listed(path, stack, *keys)}
                )
    differing = sorted(key for key in {*before, *after} if before.get(key) != after.get(key))
    return [
        PackageChange(
            system=system,
            name=safe(name)[:120],
            before=safe(before.get((system, name), ""))[:60],
            after=safe(after.get((system, name), ""))[:60],
        )
        for system, name in differing[:_MOST_PACKAGES]
    ]


def _node_version(name: str, stack: Mapping[str, Shown]) -> str:
    shown = stack.get(name)
    if shown is None or not stat.S_ISREG(shown.status.st_mode) or shown.status.st_size > _LARGEST:
        return ""
    try:
        document = json.loads(shown.layer.read(name, _LARGEST))
    except (ValueError, RecursionError):
        return ""  # the package does not say a version
    version = document.get("version") if isinstance(document, dict) else None
    return version if isinstance(version, str) else ""


def _listed(
    path: str, stack: Mapping[str, Shown], name_key: str, version_key: str
) -> Iterator[tuple[str, str]]:
    shown = stack.get(path)
    if shown is None or not stat.S_ISREG(shown.status.st_mode):
        return
    name = ""
    for line in shown.layer.read(path, _LARGEST_LIST).decode(errors="replace").splitlines():
        if line.startswith(name_key):
            name = line[len(name_key) :]
        elif line.startswith(version_key) and name:
            yield name, line[len(version_key) :]
            name = ""
