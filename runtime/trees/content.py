"""Copy of a file's bytes from one descriptor to another."""

from __future__ import annotations

import errno
import fcntl
import os

_FICLONE = 0x40049409
_OTHER_WAY = {
    errno.EXDEV,
    errno.EINVAL,
    errno.EOPNOTSUPP,
    errno.ENOSYS,
    errno.ENOTTY,
    errno.EPERM,
    errno.ETXTBSY,
}
_PIECE = 1 << 24


def copy_content(old: int, new: int) -> None:
    """Copy a file into an empty one, with its holes.

    If the file system shares extents, the copy shares them and costs no time (ioctl_ficlone(2)).
    """
    size = os.fstat(old).st_size
    try:
        fcntl.ioctl(new, _FICLONE, old)
        return
    except OSError as error:
        if error.errno not in _OTHER_WAY:
            raise
    os.ftruncate(new, size)
    start = 0
    while start < size:
        try:
            start = os.lseek(old, start, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # only a hole remains
                return
            raise
        end = os.lseek(old, start, os.SEEK_HOLE)
        os.lseek(old, start, os.SEEK_SET)
        os.lseek(new, start, os.SEEK_SET)
        while start < end:
            # both descriptors have their own offsets
            copied = os.sendfile(new, old, None, min(end - start, _PIECE))
            if not copied:  # truncated in the meantime
                return
            start += copied
