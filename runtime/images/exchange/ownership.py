"""The transfer of files that the portal received into root's ownership, without copying them.

The portal runs as another user and may be compromised, so root trusts a file only when nobody else
can change it. The file gets a second name in root's folder, root becomes its owner, and root
requests a read lease. The kernel grants it only while no process has the file open for writing
(fcntl(2), F_RDLCK). After that the content cannot change.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import stat
from collections.abc import Sequence
from pathlib import Path

from runtime.errors import ImageDamaged
from runtime.images.digest import Digest


def take_over(digest: Digest, into: Path, places: Sequence[Path], *, user: str) -> None:
    """Take ownership of the first existing file of `places`, and link it as `into/HEX`.

    Places are files of `user` or root, in folders that `user` cannot replace. Raises ImageDamaged
    if no file exists or its owner cannot be changed.
    """
    name = into / digest.hex
    for place in places:
        try:
            os.link(place, name, follow_symlinks=False)
        except FileNotFoundError:
            continue
        _make_ours(name, digest, user)
        return
    raise ImageDamaged(
        f"The part {digest} of the image no longer exists.", hint="Push the image again."
    )


def _make_ours(path: Path, digest: Digest, user: str) -> None:
    refused = ImageDamaged(
        f"The part {digest} of the image has the wrong owner or type.", hint="Push the image again."
    )
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        raise refused from None
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_uid not in _owners(user):
            raise refused
        if status.st_uid != 0:
            os.fchown(fd, 0, 0)
            os.fchmod(fd, 0o644)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except BlockingIOError:
        raise ImageDamaged(
            f"The part {digest} of the image is still being written.", hint="Push the image again."
        ) from None
    finally:
        os.close(fd)  # ends the lease; no other user can open the file for writing now


def _owners(user: str) -> set[int]:
    try:
        return {0, pwd.getpwnam(user).pw_uid}
    except KeyError:  # the node has no user for the portal: root owns all files
        return {0}
