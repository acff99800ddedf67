"""All that is below a folder: what it holds itself, sorted by name, then what each folder in it holds."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from runtime import cancellation
from runtime.trees.folder import Entry, Folder

DEEPEST = 4096  # folders in each other, each of which is open meanwhile
_VANISHED = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


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


def walk(top: Folder, *, enters: Callable[[str], bool] = lambda _: True, is_in_use: bool = False) -> Iterator[Found]:
    """`enters` is asked with a folder's path before it is opened. TooDeep: more than 4096 folders in each other.

    Where a tree `is_in_use` by others, folders that vanish meanwhile, or become something else, are left out.
    """
    stack = [_Level(folder=top.subfolder("."), prefix="")]
    try:
        yield from stack[-1].told(top.entries())
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
                raise TooDeep(errno.ENAMETOOLONG, f"more than {DEEPEST} folders in each other", path[:200])
            try:
                stack.append(_Level(folder=level.folder.subfolder(name), prefix=f"{path}/"))
                found = stack[-1].folder.entries()
            except OSError as error:
                if is_in_use and error.errno in _VANISHED:
                    continue
                raise
            yield from stack[-1].told(found)
    finally:
        for level in stack:
            level.folder.close()


@dataclass(slots=True, kw_only=True)
class _Level:
    """An open folder on the way to where the walk is."""

    folder: Folder
    prefix: str
    below: list[str] = field(default_factory=list)  # folders in it that are still to be entered, the next one last

    def told(self, entries: list[Entry]) -> Iterator[Found]:
        """Tell of each entry, then remember which are folders."""
        for entry in entries:
            cancellation.check()
            yield Found(path=f"{self.prefix}{entry.name}", folder=self.folder, name=entry.name, status=entry.status)
            if entry.is_folder:
                self.below.append(entry.name)
        self.below.reverse()
