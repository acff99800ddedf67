"""Walk through a tree: the entries of a folder sorted by name, then those of each folder in it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from runtime import cancellation
from runtime.trees.folder import Entry, Folder

DEEPEST = 4096  # nested folders, all of which are open at the same time
_VANISHED = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


class TooDeep(OSError):
    """The folders are nested deeper than DEEPEST."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An entry below the top. `folder` is open only until the next iteration."""

    path: str  # relative to the top
    folder: Folder  # its parent
    name: str  # in that folder
    status: os.stat_result

    @property
    def is_folder(self) -> bool:
        return Entry(name=self.name, status=self.status).is_folder


def walk(
    top: Folder, *, enters: Callable[[str], bool] = lambda _: True, is_in_use: bool = False
) -> Iterator[Found]:
    """Yield everything below `top`. Raise TooDeep if more than 4096 folders are nested.

    `enters` decides by a folder's path whether to open it. If a tree `is_in_use` by others, skip
    folders that vanish or change their type in the meantime.
    """
    stack = [_Level(folder=top.subfolder("."), prefix="")]
    try:
        yield from stack[-1].visit(top.entries())
        while stack:
            level = stack[-1]
            if not level.below:
                stack.pop().folder.close()
                continue
            name = level.below.pop()
            path = f"{level.prefix}{name}"
            if not enters(path):
                continue
            if len(stack) >= DEEPEST:
                raise TooDeep(errno.ENAMETOOLONG, f"more than {DEEPEST} nested folders", path[:200])
            try:
                stack.append(_Level(folder=level.folder.subfolder(name), prefix=f"{path}/"))
                found = stack[-1].folder.entries()
            except OSError as error:
                if is_in_use and error.errno in _VANISHED:
                    continue
                raise
            yield from stack[-1].visit(found)
    finally:
        for level in stack:
            level.folder.close()


@dataclass(slots=True, kw_only=True)
class _Level:
    """An open folder between the top and the current position."""

    folder: Folder
    prefix: str
    # its folders that are not entered yet, the next one last
    below: list[str] = field(default_factory=list)

    def visit(self, entries: list[Entry]) -> Iterator[Found]:
        """Yield each entry, then remember the folders."""
        for entry in entries:
            cancellation.check()
            yield Found(
                path=f"{self.prefix}{entry.name}",
                folder=self.folder,
                name=entry.name,
                status=entry.status,
            )
            if entry.is_folder:
                self.below.append(entry.name)
        self.below.reverse()
