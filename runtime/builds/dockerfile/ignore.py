"""The build context: the unpacked source without what .dockerignore leaves out, and each file's digest at most once."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from e2b_dockerfile_utils import PatternMatcher

from runtime.builds.dockerfile.tree import Tree
from runtime.errors import BadSource


def matcher(patterns: list[str], file: str) -> PatternMatcher:
    """BadSource names a pattern that is none."""
    try:
        return PatternMatcher(patterns)
    except ValueError as error:
        raise BadSource(f"{file}: {error}.", hint="Patterns are those of docs/dockerfile.md.") from None


def read_ignored(root: Path) -> PatternMatcher | None:
    """The rules of Dockerfile.dockerignore, else of .dockerignore."""
    for name in ("Dockerfile.dockerignore", ".dockerignore"):
        path = root / name
        if path.is_file() and not path.is_symlink():
            text = path.read_bytes()[: 1 << 20].decode("utf-8-sig", "surrogateescape")
            return matcher(text.splitlines(), name)
    return None


def context(root: Path) -> Tree:
    """The context as a tree to copy from."""
    ignored = read_ignored(root)
    return Tree(root=root, hidden=ignored.matches if ignored else None, holds=ignored.may_match_under if ignored else None, moments=True)


@dataclass(slots=True)
class Digests:
    """Content digests of files by inode and time, so that ten COPYs of one file read it once."""

    _known: dict[tuple[int, int, int, int], str] = field(default_factory=dict)

    def of(self, path: Path, status: os.stat_result) -> str:
        if stat.S_ISLNK(status.st_mode):
            return str(path.readlink())
        if not stat.S_ISREG(status.st_mode):
            return f"{status.st_rdev:x}"
        key = (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)
        if key not in self._known:
            with path.open("rb") as file:
                self._known[key] = hashlib.file_digest(file, "sha256").hexdigest()
        return self._known[key]
