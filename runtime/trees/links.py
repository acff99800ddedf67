"""Resolve symbolic links inside a folder, as after chroot(2)."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

_MOST_LINKS = 40  # the kernel's limit


class SymlinkLoop(Exception):
    """Symbolic links that form a loop."""


def resolve(
    name: str,
    find: Callable[[str], os.stat_result | None],
    read_link: Callable[[str], str],
    *,
    follow_last: bool,
) -> str:
    """Return the name with its links resolved. Raise SymlinkLoop after more than 40 links.

    `find` returns the status of a name in the folder or None, `read_link` the text of a link there.
    """
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
        place = "/".join((*at, part))
        if follow_last or any(word not in ("", ".") for word in waiting):
            found = find(place)
            if found is not None and stat.S_ISLNK(found.st_mode):
                links += 1
                if links > _MOST_LINKS:
                    raise SymlinkLoop(name)
                text = read_link(place)
                at = [] if text.startswith("/") else at
                waiting.extend(reversed(text.split("/")))
                continue
        at.append(part)
    return "/".join(at)
