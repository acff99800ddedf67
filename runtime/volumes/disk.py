"""The disk of a volume: a file with an ext4 file system, mounted through a loop device.

The kernel itself returns "no space left" at the limit, for bytes and for numbers of files. The file
is sparse: it takes the space that is written, and deleted files free it (the mount option discard).
The file system has a journal, so that it is consistent after a crash or a power failure. Only the
kernel writes to the file: a tenant cannot make a file system that harms the kernel.
"""

from __future__ import annotations

import os
from pathlib import Path

from runtime import journal
from runtime.contract.quantities import Bytes
from runtime.errors import VolumeFailed
from runtime.kernel import Kernel, MountFlag
from runtime.process import run
from runtime.trees.content import copy_content
from runtime.volumes.choice import can_grow_while_mounted
from runtime.volumes.volume import DiskUse

_BLOCK = 4096
_MKFS = (
    "-q",
    "-F",
    "-b",
    str(_BLOCK),
    "-m",
    "0",
    "-i",
    "8192",
    "-E",
    "lazy_itable_init=1,nodiscard",
)
_FLAGS = MountFlag.NO_DEVICES | MountFlag.NO_SETUID
_REPAIRED = 1  # exit codes of e2fsck(8) up to this one: the file system is consistent
_CHECK_SECONDS = 600.0


def format_disk(path: Path, size: Bytes) -> None:
    """Create an empty file system of `size` bytes in a new file, and flush it to disk."""
    fresh = path.with_suffix(".new")
    with fresh.open("wb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.truncate(size)
    run(["mkfs.ext4", *_MKFS, fresh])
    _put(fresh, path)


def copy_disk(old: Path, new: Path) -> None:
    """Copy a file system that is not written to meanwhile. `new` appears only when complete.

    The copy shares extents where the file system below supports that, and else copies what is
    written.
    """
    fresh = new.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    try:
        with old.open("rb") as source:
            target = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                copy_content(source.fileno(), target)
            finally:
                os.close(target)
        _put(fresh, new)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def check_disk(path: Path, *, everything: bool = False) -> None:
    """Repair what a crash left in a file system that is not mounted (e2fsck -p)."""
    flags = ["-p", "-f"] if everything else ["-p"]
    checked = run(["e2fsck", *flags, path], timeout=_CHECK_SECONDS, check=False)
    if checked.returncode > _REPAIRED:
        text = checked.stdout.decode(errors="replace").strip()[-500:]
        raise VolumeFailed(
            f"The file system of volume {path.parent.name} is damaged: {text}",
            hint="Restore a snapshot. An admin may repair it: docs/volumes.md describes how.",
        )


def mount_disk(kernel: Kernel, path: Path, target: Path, *, read_only: bool = False) -> None:
    """Mount a file system until `target` is unmounted. Its device ends with the last mount."""
    flags = _FLAGS | MountFlag.READ_ONLY | MountFlag.NO_EXEC if read_only else _FLAGS
    options = "errors=remount-ro" if read_only else "errors=remount-ro,discard"
    with kernel.loop_device(path, direct=True, read_only=read_only) as device:
        kernel.mount(device, target, "ext4", flags=flags, options=options)


def grow_disk(kernel: Kernel, path: Path, size: Bytes, device: str) -> bool:
    """Enlarge a file system to `size` bytes while it is mounted. It never becomes smaller.

    Return whether that is done. It is not if this root lacks CAP_SYS_RESOURCE, which the kernel
    requires. Then `grow_unmounted` does it. It can be killed at any point: a repeated call
    continues.
    """
    extend_file(path, size)
    if not is_smaller_than_file(path):
        return True
    kernel.refresh_device_size(Path(device))
    if not can_grow_while_mounted():
        return False
    run(["resize2fs", device], timeout=_CHECK_SECONDS)
    return True


def grow_unmounted(path: Path) -> None:
    """Enlarge a file system to the size of its file. It is not mounted."""
    check_disk(path, everything=True)  # resize2fs(8) requires it
    run(["resize2fs", path], timeout=_CHECK_SECONDS)


def extend_file(path: Path, size: Bytes) -> None:
    """Extend the file of a disk to `size` bytes."""
    with path.open("r+b") as file:
        if os.fstat(file.fileno()).st_size < size:
            file.truncate(size)
            os.fsync(file.fileno())


def is_smaller_than_file(path: Path) -> bool:
    """Return whether the file system does not fill its file (filesystems/ext4/super.rst)."""
    with path.open("rb") as file:
        superblock = os.pread(file.fileno(), 1024, 1024)
        size = os.fstat(file.fileno()).st_size
    blocks = int.from_bytes(superblock[4:8], "little")
    blocks |= int.from_bytes(superblock[0x150:0x154], "little") << 32
    return blocks < size // _BLOCK


def use_of(mounted: Path) -> DiskUse:
    """Return the use of a mounted file system."""
    found = os.statvfs(mounted)
    return DiskUse(
        used=Bytes((found.f_blocks - found.f_bfree) * found.f_frsize),
        total=Bytes(found.f_blocks * found.f_frsize),
        files=found.f_files - found.f_ffree,
        most_files=found.f_files,
    )


def _put(fresh: Path, path: Path) -> None:
    journal.sync_file(fresh)
    fresh.rename(path)
    journal.sync_folder(path.parent)
