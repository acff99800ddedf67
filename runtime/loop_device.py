"""Set up a loop device: a block device whose content is a file (loop(4))."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from contextlib import suppress
from pathlib import Path

from runtime.errors import HostLacks, KernelRefused

_LOOP_CONFIGURE, _LOOP_CTL_GET_FREE, _LO_FLAGS_AUTOCLEAR = 0x4C0A, 0x4C82, 4
_ATTEMPTS = 64  # another process may use a free number first


def set_up(file: int) -> tuple[Path, int]:
    """Return the path and a descriptor of a device for this open file.

    The kernel detaches it when its last user ends.
    """
    information = struct.pack(
        "5Q4I64s64s32s2Q", 0, 0, 0, 0, 0, 0, 0, 0, _LO_FLAGS_AUTOCLEAR, b"", b"", b"", 0, 0
    )
    request = struct.pack("II", file, 4096) + information + bytes(64)
    control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    try:
        for _ in range(_ATTEMPTS):
            number = fcntl.ioctl(control, _LOOP_CTL_GET_FREE)
            device = Path(f"/dev/loop{number}")
            if not device.exists():  # no devtmpfs
                with suppress(FileExistsError):
                    os.mknod(device, 0o600 | 0o060000, os.makedev(7, number))
            fd = os.open(device, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.ioctl(fd, _LOOP_CONFIGURE, request)
                return device, fd
            except OSError as error:
                os.close(fd)
                if error.errno != errno.EBUSY:
                    raise KernelRefused(
                        f"The kernel did not set up {device}: {error.strerror}.",
                        errno=error.errno or 0,
                    ) from None
    finally:
        os.close(control)
    raise HostLacks(
        "No loop device is free on this machine.",
        hint="Raise the loop module's max_loop, or detach unused ones (losetup -d).",
    )
