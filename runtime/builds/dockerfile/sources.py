"""What a COPY or ADD names, found: patterns, --exclude, --parents, heredocs. Nothing is copied here."""

from __future__ import annotations

import os
import posixpath
from dataclasses import dataclass

from e2b_dockerfile_utils import parse_heredoc

from runtime.builds.dockerfile.copying import Item
from runtime.builds.dockerfile.ignore import matcher
from runtime.builds.dockerfile.syntax import Heredoc, Instruction, Words
from runtime.builds.dockerfile.tree import Tree, is_folder

_REMOTE = ("http://", "https://", "git@", "git://", "ssh://")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The words of a COPY or ADD, variables replaced."""

    patterns: tuple[str, ...]
    files: tuple[tuple[str, bytes], ...]  # heredocs: name and content
    destination: str  # absolute, without a slash at the end
    into_folder: bool


def wanted(one: Instruction, words: Words, raw: Words, directory: str) -> Wanted:
    """BadSource: several sources for one name, or a remote one."""
    bodies = list(one.heredocs)
    patterns: list[str] = []
    files: list[tuple[str, bytes]] = []
    for arg in one.args[:-1]:
        if bodies and not one.exec_form and parse_heredoc(arg) is not None:
            body = bodies.pop(0)
            if "/" in body.name or body.name in (".", ".."):
                raise one.wrong(f"<<{body.name} is no name for a file.")
            files.append((body.name, _content(body, raw, one)))
        else:
            patterns.append(words.one(arg, one))
    for pattern in patterns:
        if pattern.startswith(_REMOTE):
            raise one.wrong(f"{pattern} is not fetched by {one.name}.", hint="Fetch it in a step: RUN curl -fsSLO … or RUN git clone …")
        if not pattern or "\0" in pattern:
            raise one.wrong(f"{one.name} has an empty source.")
    last = words.one(one.args[-1], one)
    if not last or "\0" in last:
        raise one.wrong(f"{one.name} has no destination.")
    into = last.endswith("/") or posixpath.basename(last) in (".", "..") or one.switched("parents")
    if len(one.args) > 2 and not into:
        raise one.wrong(f"{one.name} with several sources needs a folder as its destination.", hint=f"Write {last}/")
    absolute = posixpath.normpath(posixpath.join(directory or "/", last)).lstrip("/")
    return Wanted(patterns=tuple(patterns), files=tuple(files), destination=f"/{absolute}", into_folder=into or not absolute)


def find(one: Instruction, asked: Wanted, tree: Tree, words: Words) -> list[Item]:
    """The items behind the patterns. BadSource: one leads out, or nothing is there."""
    where = "the image it comes from" if one.flag("from") else "the build context"
    excluded = [words.one(pattern, one) for pattern in one.every("exclude")]
    found: list[Item] = []
    for pattern in asked.patterns:
        inside = pattern.lstrip("/") or "."
        if posixpath.normpath(inside).split("/")[0] == "..":
            raise one.wrong(f"{pattern} leads out of {where}.", hint="Only what was deployed can be copied; move it into the source.")
        pivot, cut, rest = inside.partition("/./") if one.switched("parents") else ("", "", "")
        pivot = pivot if cut else ""
        names = tree.matches(f"{pivot}/{rest}" if cut else inside)
        for name in names:
            _check(one, pattern, name, tree, where)
            found.append(_item(tree, name, excluded, below=_below(tree, name, pivot) if one.switched("parents") else ""))
    found = [item for item in found if not (excluded and _is_excluded(item, excluded))]
    if asked.patterns and not found and not excluded and not asked.files:
        raise one.wrong(f"{' '.join(asked.patterns)}: nothing in {where} has that name.", hint="Look at the name, and at .dockerignore.")
    return found


def _content(body: Heredoc, raw: Words, one: Instruction) -> bytes:
    text = raw.one(body.content, one) if body.expand else body.content
    return text.encode("utf-8", "surrogateescape")


def _check(one: Instruction, pattern: str, name: str, tree: Tree, where: str) -> None:
    if not os.path.lexists(tree.root / name) and not os.path.lexists(tree.place(name)):
        raise one.wrong(f"{pattern} is not in {where}.", hint="Look at the name, and at capital letters in it.")
    place = tree.place(name)
    if not os.path.lexists(place):
        raise one.wrong(f"{pattern} is a link that leads out of {where}, or to nothing.", hint="Put the file itself there.")
    if not tree.sees(name) and not (is_folder(place) and tree.holds is not None and tree.holds(name)):
        raise one.wrong(f"{pattern} is left out of the build context by .dockerignore.", hint=f"Add the line !{name} to it.")


def _below(tree: Tree, name: str, pivot: str) -> str:
    kept = name.removeprefix(pivot.strip("/")).lstrip("/") if pivot else name
    return kept if is_folder(tree.place(name)) else posixpath.dirname(kept) or "."


def _item(tree: Tree, name: str, excluded: list[str], *, below: str) -> Item:
    left_out: frozenset[str] = frozenset()
    if excluded and is_folder(tree.place(name)):
        rules = matcher(excluded, "--exclude")
        left_out = frozenset(inner for inner, _, _ in tree.walk(name) if rules.matches(inner))
    return Item(tree=tree, name=name, below=below, left_out=left_out)


def _is_excluded(item: Item, excluded: list[str]) -> bool:
    return not is_folder(item.tree.place(item.name)) and matcher(excluded, "--exclude").matches(posixpath.basename(item.name))
