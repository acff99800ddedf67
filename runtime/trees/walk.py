"""All that is below a folder, one name after the other: each folder before what it holds, names sorted."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from runtime import stopping
from runtime.trees.folder import Entry, Folder

DEEPEST = 4096  # folders in each other, each of which is open meanwhile
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class TooDeep(OSError):
    """More folders in each other than we follow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Something below the top. `folder` is open only until the next one is asked for."""

    path: str  # relative to the top
    folder: Folder  # that holds it
    name: str  # in that folder
    status: os.stat_result

    @property
    def is_folder(self) -> bool:
        return Entry(name=self.name, status=self.status).is_folder


def walk(top: Folder, *, enters: Callable[[str], bool] = lambda _: True) -> Iterator[Found]:
    """`enters` is asked with a folder's path before it is opened. TooDeep: more than 4096 folders in each other."""
    stack = [(top.subfolder("."), "", top.entries())]
    for _, _, entries in stack:
        entries.reverse()
    try:
        while stack:
            folder, prefix, left = stack[-1]
            if not left:
                stack.pop()[0].close()
                continue
            stopping.check()
            entry = left.pop()
            path = f"{prefix}{entry.name}"
            yield Found(path=path, folder=folder, name=entry.name, status=entry.status)
            if entry.is_folder and enters(path):
                if len(stack) >= DEEPEST:
                    raise TooDeep(errno.ENAMETOOLONG, f"more than {DEEPEST} folders in each other", path[:200])
                below = folder.subfolder(entry.name)
                entries = below.entries()
                entries.reverse()
                stack.append((below, f"{path}/", entries))
    finally:
        for folder, _, _ in stack:
            folder.close()
