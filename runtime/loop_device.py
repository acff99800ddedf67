"""Set up a loop device: a block device whose content is a file (loop(4))."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from contextlib import suppress
from pathlib import Path

from runtime.errors import HostLacks, KernelRefused

_LOOP_CONFIGURE, _LOOP_CTL_GET_FREE, _LOOP_SET_CAPACITY = 0x4C0A, 0x4C82, 0x4C07
_LOOP_GET_STATUS64 = 0x4C05
_LO_FLAGS_READ_ONLY, _LO_FLAGS_AUTOCLEAR, _LO_FLAGS_DIRECT_IO = 1, 4, 16
_ATTEMPTS = 64  # another process may use a free number first


def set_up(file: int, *, direct: bool = False, read_only: bool = False) -> tuple[Path, int]:
    """Return the path and a descriptor of a device for this open file.

    The kernel detaches it when its last user ends. With `direct`, content is not also in the page
    cache of the file, if the file system below supports that.
    """
    flags = _LO_FLAGS_AUTOCLEAR
    flags |= _LO_FLAGS_DIRECT_IO if direct else 0
    flags |= _LO_FLAGS_READ_ONLY if read_only else 0
    information = struct.pack("5Q4I64s64s32s2Q", *(0,) * 8, flags, b"", b"", b"", 0, 0)
    request = struct.pack("II", file, 4096) + information + bytes(64)
    control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    try:
        for _ in range(_ATTEMPTS):
            number = fcntl.ioctl(control, _LOOP_CTL_GET_FREE)
            device = Path(f"/dev/loop{number}")
            if not device.exists():  # no devtmpfs
                with suppress(FileExistsError):
                    os.mknod(device, 0o600 | 0o060000, os.makedev(7, number))
            access = os.O_RDONLY if read_only else os.O_RDWR
            fd = os.open(device, access | os.O_CLOEXEC)
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


def find(file: int) -> tuple[Path, int] | None:
    """Return the path and a descriptor of the device that already has this open file, or None.

    The descriptor keeps the device attached.
    """
    wanted = os.fstat(file)
    for folder in sorted(Path("/sys/block").glob("loop*/loop")):
        device = Path("/dev") / folder.parent.name
        with suppress(FileNotFoundError):
            fd = os.open(device, os.O_RDWR | os.O_CLOEXEC)
            if _has_file(fd, wanted):
                return device, fd
            os.close(fd)
    return None


def _has_file(device: int, wanted: os.stat_result) -> bool:
    status = bytearray(232)
    try:
        fcntl.ioctl(device, _LOOP_GET_STATUS64, status)
    except OSError:  # it was detached in the meantime
        return False
    number, inode = struct.unpack_from("QQ", status)
    major, minor = os.major(wanted.st_dev), os.minor(wanted.st_dev)
    encoded = (minor & 0xFF) | major << 8 | (minor & ~0xFF) << 12  # linux/kdev_t.h
    return (number, inode) == (encoded, wanted.st_ino)


def refresh_size(device: Path) -> None:
    """Have a device adopt the size of its file, which has grown (LOOP_SET_CAPACITY)."""
    fd = os.open(device, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, _LOOP_SET_CAPACITY)
    except OSError as error:
        raise KernelRefused(
            f"The kernel did not change the size of {device}: {error.strerror}.",
            errno=error.errno or 0,
        ) from None
    finally:
        os.close(fd)
