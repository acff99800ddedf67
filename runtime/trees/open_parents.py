"""The parents of names in a folder, opened beneath it and kept open for the next names.

openat2(2) refuses to leave the folder or to follow a link: RESOLVE_BENEATH,
RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS.
"""

from __future__ import annotations

import os

from runtime.syscalls import Resolve, openat2

STRICT = Resolve.BENEATH | Resolve.NO_MAGIC_LINKS | Resolve.NO_LINKS
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
PLACE = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW
_MOST_OPEN = 16  # parents that are kept open


class OpenParents:
    """Descriptors of the parents of one folder's names."""

    def __init__(self) -> None:
        self._open: dict[str, int] = {}

    def of(self, top: int, name: str) -> tuple[int, str]:
        """Return (parent's descriptor, name there) of a name below the folder `top`.

        Opening another parent may close it. Raise ValueError for an invalid name.
        """
        folder, _, leaf = name.strip("/").rpartition("/")
        if leaf in ("", ".", "..") or "\0" in name:
            raise ValueError(f"{name!r} does not name anything in a folder")
        if not folder:
            return top, leaf
        if folder not in self._open:
            fd = openat2(top, os.fsencode(folder), PLACE, resolve=STRICT)
            if len(self._open) >= _MOST_OPEN:
                os.close(self._open.pop(next(iter(self._open))))
            self._open[folder] = fd
        return self._open[folder], leaf

    def close(self) -> None:
        """Close all of them. They are opened again when they are needed."""
        for fd in self._open.values():
            os.close(fd)
        self._open.clear()
