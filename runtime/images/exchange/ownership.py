"""Files that the portal received, taken over by root without copying them.

The portal runs as another user and may be broken into, so a file of its is believed only once nobody else can change it: it is given a
second name in a folder of root's, made root's own, and then a read lease is asked for, which the kernel grants only while no process
has the file open for writing (fcntl(2), F_RDLCK). What is read after that stays as it is.
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
    """Give the file of the first place that is there the name `into/HEX`. ImageDamaged: none is, or it cannot be taken over.

    Places are files that `user` wrote or that are root's already, in folders which `user` cannot swap for others.
    """
    name = into / digest.hex
    for place in places:
        try:
            os.link(place, name, follow_symlinks=False)
        except FileNotFoundError:
            continue
        _make_ours(name, digest, user)
        return
    raise ImageDamaged(f"The part {digest} of the image is not here any more.", hint="Push the image again.")


def _make_ours(path: Path, digest: Digest, user: str) -> None:
    refused = ImageDamaged(f"The part {digest} of the image cannot be taken over.", hint="Push the image again.")
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
        raise ImageDamaged(f"The part {digest} of the image is still being written.", hint="Push the image again.") from None
    finally:
        os.close(fd)  # ends the lease; nobody can open it for writing any more


def _owners(user: str) -> set[int]:
    try:
        return {0, pwd.getpwnam(user).pw_uid}
    except KeyError:  # a node without the portal's user: all is root's
        return {0}
