"""Find the files that a COPY or ADD names: patterns, --exclude, --parents.

Copies nothing. Runs in a confined helper.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import posixpath
import stat
from collections.abc import Iterable, Sequence

from runtime.builds.dockerfile.copying import Item
from runtime.builds.dockerfile.ignore import Digests, matcher
from runtime.builds.dockerfile.sources import Wanted
from runtime.builds.dockerfile.syntax import Instruction
from runtime.builds.dockerfile.tree import Tree
from runtime.trees.copying import is_kept
from runtime.trees.folder import Folder


def find(
    instruction: Instruction, asked: Wanted, tree: Tree, excluded: Sequence[str]
) -> list[Item]:
    """Return the items that match the patterns.

    BadSource: a pattern leads out, or nothing matches.
    """
    where = "the image it comes from" if instruction.flag("from") else "the build context"
    found: list[Item] = []
    for pattern in asked.patterns:
        inside = pattern.lstrip("/") or "."
        if posixpath.normpath(inside).split("/")[0] == "..":
            raise instruction.wrong(
                f"{pattern} leads outside {where}.",
                hint="Only deployed files can be copied; move it into the source.",
            )
        pivot, cut, rest = (
            inside.partition("/./") if instruction.switched("parents") else ("", "", "")
        )
        pivot = posixpath.normpath(pivot).strip("/.") if cut else ""
        names = tree.matches(f"{pivot}/{rest}" if cut else inside)
        for name in names:
            _check(instruction, pattern, name, tree, where)
            found.append(
                _item(
                    tree,
                    name,
                    excluded,
                    below=_below(tree, name, pivot) if instruction.switched("parents") else "",
                )
            )
    found = [item for item in found if not (excluded and _is_excluded(item, excluded))]
    if asked.patterns and not found and not excluded and not asked.files:
        raise instruction.wrong(
            f"{' '.join(asked.patterns)}: {where} has no file with that name.",
            hint="Check the name, and .dockerignore.",
        )
    return found


def content_of(items: Iterable[Item], digests: Digests, *, made_after: float) -> str:
    """Return one digest over all that COPY keeps of the items.

    These are names, kinds, modes, owners, bytes, extended attributes, hard links, and the times of
    files that are not of the context. Times after `made_after` (Unix time) count as equal: COPY
    replaces them.
    """
    hashed = hashlib.sha256()
    first_names: dict[tuple[int, int], int] = {}  # files with several names, by inode
    numbers = itertools.count()

    def add(*words: object) -> None:
        hashed.update(json.dumps(words).encode("utf-8", "surrogatepass") + b"\n")

    def add_entry(item: Item, folder: Folder, name: str, status: os.stat_result) -> None:
        number = next(numbers)
        add(status.st_mode, status.st_uid, status.st_gid, _kept_attributes(folder, name))
        if stat.S_ISDIR(status.st_mode):
            return
        add(digests.of(folder, name, status))
        if not item.tree.moments:
            add(status.st_mtime_ns if status.st_mtime <= made_after else "new")
        if status.st_nlink > 1:
            first = first_names.setdefault((status.st_dev, status.st_ino), number)
            if first != number:
                add("hard link to entry", first)

    for item in items:
        place = item.tree.place(item.name)
        status = item.tree.root.status(place)
        add(item.name.rpartition("/")[2], item.below)
        add_entry(item, item.tree.root, place, status)
        if not stat.S_ISDIR(status.st_mode):
            continue
        for found in item.tree.walk(item.name):
            if found.path not in item.left_out:
                add(found.path)
                add_entry(item, found.folder, found.name, found.status)
    return hashed.hexdigest()


def _kept_attributes(folder: Folder, name: str) -> list[tuple[str, str]]:
    attributes = folder.attributes(name)
    return sorted((key, value.hex()) for key, value in attributes.items() if is_kept(key))


def _check(instruction: Instruction, pattern: str, name: str, tree: Tree, where: str) -> None:
    place = tree.place(name)
    if tree.status(tree.place(name, follow=False)) is None and tree.status(place) is None:
        raise instruction.wrong(
            f"{pattern} is not in {where}.", hint="Check the name, also its upper and lower case."
        )
    if tree.status(place) is None:
        raise instruction.wrong(
            f"{pattern} is a link that leads outside {where}, or to a missing file.",
            hint="Replace the link by the file.",
        )
    if not tree.sees(name) and not (
        tree.is_folder(place) and tree.holds is not None and tree.holds(name)
    ):
        raise instruction.wrong(
            f"{pattern} is excluded from the build context by .dockerignore.",
            hint=f"Add the line !{name} to .dockerignore.",
        )


def _below(tree: Tree, name: str, pivot: str) -> str:
    kept = name.removeprefix(pivot.strip("/")).lstrip("/") if pivot else name
    return kept if tree.is_folder(tree.place(name)) else posixpath.dirname(kept) or "."


def _item(tree: Tree, name: str, excluded: Sequence[str], *, below: str) -> Item:
    left_out: frozenset[str] = frozenset()
    if excluded and tree.is_folder(tree.place(name)):
        rules = matcher(list(excluded), "--exclude")
        left_out = frozenset(found.path for found in tree.walk(name) if rules.matches(found.path))
    return Item(tree=tree, name=name, below=below, left_out=left_out)


def _is_excluded(item: Item, excluded: Sequence[str]) -> bool:
    return not item.tree.is_folder(item.tree.place(item.name)) and matcher(
        list(excluded), "--exclude"
    ).matches(posixpath.basename(item.name))
