"""The build context: the unpacked source without the files in .dockerignore.

Each file's digest is computed at most once.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field

from e2b_dockerfile_utils import PatternMatcher

from runtime.builds.dockerfile.tree import Tree
from runtime.errors import BadSource
from runtime.trees.folder import Folder


def matcher(patterns: list[str], file: str) -> PatternMatcher:
    """Return the matcher of the patterns. BadSource names a pattern that is not valid."""
    try:
        return PatternMatcher(patterns)
    except ValueError as error:
        raise BadSource(
            f"{file}: {error}.", hint="Patterns are those of docs/dockerfile.md."
        ) from None


def read_ignored(root: Folder) -> PatternMatcher | None:
    """Return the rules of Dockerfile.dockerignore, else of .dockerignore."""
    for name in ("Dockerfile.dockerignore", ".dockerignore"):
        if root.is_file(name):
            text = root.read(name, 1 << 20).decode("utf-8-sig", "surrogateescape")
            return matcher(text.splitlines(), name)
    return None


def context(root: Folder) -> Tree:
    """Return the context as a tree to copy from."""
    ignored = read_ignored(root)
    return Tree(
        root=root,
        hidden=ignored.matches if ignored else None,
        holds=ignored.may_match_under if ignored else None,
        moments=True,
    )


@dataclass(slots=True)
class Digests:
    """Content digests of files by inode and time, so that ten COPYs of one file read it once."""

    _known: dict[tuple[int, int, int, int], str] = field(default_factory=dict)

    def of(self, folder: Folder, name: str, status: os.stat_result) -> str:
        """Return the value that represents a file's content: its digest, a link's text, a device's
        number.
        """
        if stat.S_ISLNK(status.st_mode):
            return folder.read_link(name)
        if not stat.S_ISREG(status.st_mode):
            return f"{status.st_rdev:x}"
        key = (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)
        if key not in self._known:
            self._known[key] = folder.digest(name)
        return self._known[key]
