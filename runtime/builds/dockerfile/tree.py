"""A file tree with its own root: links are followed inside it, never out of it.

No other process writes to it at the same time.
Runs in a confined helper. Names are relative to the tree, "" is its top.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from runtime.errors import BadSource
from runtime.trees.folder import Folder
from runtime.trees.links import SymlinkLoop
from runtime.trees.walk import Found, walk


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """A context or a stage to copy from, or the root to copy into."""

    root: Folder
    hidden: Callable[[str], bool] | None = None  # from .dockerignore: takes a relative name
    holds: Callable[[str], bool] | None = (
        None  # whether a hidden folder may contain names that are not hidden
    )
    moments: bool = False  # its times have no meaning: derive them from the content

    def place(self, name: str, *, follow: bool = True) -> str:
        """Return the name with its links followed inside the tree (as chroot would).

        BadSource: links in a circle.
        """
        try:
            return self.root.resolve(name, follow_last=follow)
        except SymlinkLoop:
            raise BadSource(
                f"The links at {name} form a loop.", hint="Remove one of them."
            ) from None

    def status(self, name: str) -> os.stat_result | None:
        """Return the status of a place; None if it does not exist."""
        return self.root.find(name) if name else self.root.status()

    def is_folder(self, name: str) -> bool:
        """Return whether a place is a folder, and not a link to one."""
        return not name or self.root.is_folder(name)

    def sees(self, name: str) -> bool:
        """Return whether .dockerignore keeps a name."""
        return name in ("", ".") or self.hidden is None or not self.hidden(name)

    def matches(self, pattern: str) -> list[str]:
        """Return the sorted names that match a pattern of Go's filepath.Match, with `**` for any
        depth.

        A pattern without a wildcard is returned itself.
        """
        parts = [part for part in posixpath.normpath(f"/{pattern}").split("/") if part]
        if not any(_is_wild(part) for part in parts):
            return ["/".join(parts)]
        found = [""]
        for number, part in enumerate(parts):
            last = number == len(parts) - 1
            found = [name for folder in found for name in self._below(folder, part, last=last)]
        return sorted(
            name
            for name in dict.fromkeys(found)
            if self.sees(name) or (self.holds is not None and self.holds(name))
        )

    def _below(self, folder: str, part: str, *, last: bool) -> Iterator[str]:
        prefix = f"{folder}/" if folder else ""
        place = self.place(folder)
        if not self.is_folder(place):
            return
        if part == "**":
            yield from self._at_any_depth(folder, last=last)
            return
        if not _is_wild(part):
            if self.status(f"{place}/{part}".lstrip("/")) is not None:
                yield f"{prefix}{part}"
            return
        expression = wildcard(part)
        for entry in self.root.entries(place):
            if expression.fullmatch(entry.name) and (
                last or self.is_folder(self.place(f"{prefix}{entry.name}"))
            ):
                yield f"{prefix}{entry.name}"

    def _at_any_depth(self, folder: str, *, last: bool) -> Iterator[str]:
        """Yield the folder and all folders below it; for the last part of a pattern, the files
        too.
        """
        prefix = f"{folder}/" if folder else ""
        if not last:
            yield folder
        for found in self.walk(folder):
            if last or found.is_folder:
                yield f"{prefix}{found.path}"

    def walk(self, name: str) -> Iterator[Found]:
        """Yield the visible entries below a folder, each folder before its content.

        Paths are relative to `name`.
        """
        outer = self.place(name)
        skipped: set[str] = set()
        with self.root.subfolder(outer) as top:
            for found in walk(top, enters=lambda path: path not in skipped):
                full = f"{outer}/{found.path}".lstrip("/")
                if self.sees(full) or (
                    found.is_folder
                    and self.holds is not None
                    and self.holds(full)
                    and self._holds_any(full)
                ):
                    yield found
                else:
                    skipped.add(found.path)

    def _holds_any(self, name: str) -> bool:
        """Return whether a hidden folder contains anything that a `!` rule includes again."""
        holds = self.holds or (lambda _: False)
        with self.root.subfolder(name) as folder:
            return any(
                self.sees(f"{name}/{found.path}")
                for found in walk(folder, enters=lambda path: holds(f"{name}/{path}"))
            )


def _is_wild(part: str) -> bool:
    return any(mark in part for mark in "*?[\\")


def wildcard(part: str) -> re.Pattern[str]:
    """Return one path component of Go's filepath.Match as an expression.

    BadSource: an open bracket.
    """
    out, at = "", 0
    while at < len(part):
        mark = part[at]
        at += 1
        if mark == "*":
            out += "[^/]*"
        elif mark == "?":
            out += "[^/]"
        elif mark == "\\" and at < len(part):
            out += re.escape(part[at])
            at += 1
        elif mark == "[":
            end = part.find("]", at + (2 if part[at : at + 1] == "^" else 1))
            if end < 0:
                raise BadSource(
                    f"The pattern {part!r} has a bracket that is not closed.",
                    hint="Close it with ], or write \\[ for the character itself.",
                )
            inner = part[at:end]
            negated = inner.startswith("^")
            body = "".join(
                sign if sign == "-" else re.escape(sign) for sign in inner.removeprefix("^")
            )
            out += f"[{'^' if negated else ''}{body}]"
            at = end + 1
        else:
            out += re.escape(mark)
    try:
        return re.compile(out, re.DOTALL)
    except re.error:
        raise BadSource(
            f"The pattern {part!r} is not valid.", hint="Patterns are those of docs/dockerfile.md."
        ) from None
