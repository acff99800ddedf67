"""A file tree seen as a root of its own: links are followed inside it, never out of it. Nobody else writes to it meanwhile."""

from __future__ import annotations

import os
import posixpath
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from runtime import stopping
from runtime.errors import BadSource

_MAX_LINKS = 40  # as the kernel


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """A context or a stage to copy from, or the root that is copied into."""

    root: Path
    hidden: Callable[[str], bool] | None = None  # of .dockerignore: takes a relative name
    holds: Callable[[str], bool] | None = None  # whether a hidden folder may hold something that is not
    moments: bool = False  # its times mean nothing: derive them from the content

    def place(self, name: str, *, follow: bool = True) -> Path:
        """The path of a name, links in it followed inside the tree (as chroot would). BadSource: links in a circle."""
        waiting = list(reversed(name.split("/")))
        at: list[str] = []
        links = 0
        while waiting:
            part = waiting.pop()
            if part in ("", "."):
                continue
            if part == "..":
                del at[-1:]
                continue
            path = self.root.joinpath(*at, part)
            if (follow or any(waiting)) and path.is_symlink():
                links += 1
                if links > _MAX_LINKS:
                    raise BadSource(f"The links at {name} lead in a circle.", hint="Remove one of them.")
                leads_to = str(path.readlink())
                at = [] if leads_to.startswith("/") else at
                waiting.extend(reversed(leads_to.split("/")))
                continue
            at.append(part)
        return self.root.joinpath(*at)

    def relative(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def sees(self, name: str) -> bool:
        """Whether .dockerignore leaves a name in."""
        return name in ("", ".") or self.hidden is None or not self.hidden(name)

    def matches(self, pattern: str) -> list[str]:
        """Names that a pattern of Go's filepath.Match stands for, sorted; the pattern itself where it has no wildcard."""
        parts = [part for part in posixpath.normpath(f"/{pattern}").split("/") if part]
        if not any(_is_wild(part) for part in parts):
            return ["/".join(parts)]
        found = [""]
        for number, part in enumerate(parts):
            last = number == len(parts) - 1
            found = [name for folder in found for name in self._below(folder, part, last=last)]
        return sorted(name for name in found if self.sees(name) or (self.holds is not None and self.holds(name)))

    def _below(self, folder: str, part: str, *, last: bool) -> Iterator[str]:
        prefix = f"{folder}/" if folder else ""
        place = self.place(folder)
        if not place.is_dir():
            return
        if not _is_wild(part):
            if os.path.lexists(place / part):
                yield f"{prefix}{part}"
            return
        expression = wildcard(part)
        for path in sorted(place.iterdir()):
            if expression.fullmatch(path.name) and (last or path.is_dir()):
                yield f"{prefix}{path.name}"

    def walk(self, name: str) -> Iterator[tuple[str, Path, os.stat_result]]:
        """(name relative to `name`, path, status) of what is seen in a folder, each folder before what it holds."""
        top = self.place(name)
        outer = self.relative(top)
        pending = [("", top)]
        while pending:
            prefix, folder = pending.pop()
            below = []
            for entry in sorted(os.scandir(folder), key=lambda one: one.name):
                stopping.check()
                inner = f"{prefix}{entry.name}"
                full = inner if outer == "." else f"{outer}/{inner}"
                is_folder = entry.is_dir(follow_symlinks=False)
                if not self.sees(full):
                    if not (is_folder and self.holds is not None and self.holds(full)):
                        continue
                    if not self._holds_any(Path(entry.path), full):
                        continue
                yield inner, Path(entry.path), entry.stat(follow_symlinks=False)
                if is_folder:
                    below.append((f"{inner}/", Path(entry.path)))
            pending.extend(reversed(below))

    def _holds_any(self, folder: Path, name: str) -> bool:
        """Whether a hidden folder holds anything that `!` brings back."""
        pending = [(folder, name)]
        while pending:
            place, prefix = pending.pop()
            for entry in os.scandir(place):
                full = f"{prefix}/{entry.name}"
                if self.sees(full):
                    return True
                if entry.is_dir(follow_symlinks=False) and self.holds is not None and self.holds(full):
                    pending.append((Path(entry.path), full))
        return False


def _is_wild(part: str) -> bool:
    return any(mark in part for mark in "*?[\\")


def wildcard(part: str) -> re.Pattern[str]:
    """One path component of Go's filepath.Match as an expression. BadSource: an open bracket."""
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
                raise BadSource(f"The pattern {part!r} has an open bracket.", hint="Close it with ], or write \\[ for the sign itself.")
            inner = part[at:end]
            negated = inner.startswith("^")
            body = "".join(sign if sign == "-" else re.escape(sign) for sign in inner.removeprefix("^"))
            out += f"[{'^' if negated else ''}{body}]"
            at = end + 1
        else:
            out += re.escape(mark)
    try:
        return re.compile(out, re.DOTALL)
    except re.error:
        raise BadSource(f"The pattern {part!r} cannot be read.", hint="Patterns are those of docs/dockerfile.md.") from None


def is_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
