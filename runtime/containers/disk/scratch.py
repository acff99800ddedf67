"""A container's private disk: a file that contains an ext4 file system.

The kernel itself returns "no space left" at the limit. An empty sparse template is made once per
size and copied for each container. The file system has no journal: after a crash it is discarded.
"""

from __future__ import annotations

import os
from pathlib import Path

from runtime import journal
from runtime.contract.quantities import Bytes
from runtime.kernel import Kernel, MountFlag
from runtime.process import run
from runtime.trees.content import copy_content

SMALLEST = Bytes(8 * 2**20)
_MKFS = (
    "-q",
    "-F",
    "-b",
    "4096",
    "-O",
    "^has_journal,^resize_inode",
    "-m",
    "0",
    "-i",
    "8192",
    "-E",
    "lazy_itable_init=1,nodiscard",
)
_FOLDERS = ("upper", "work", "tmp", "etc")


def mount_scratch(kernel: Kernel, templates: Path, image: Path, target: Path, size: Bytes) -> None:
    """Create and mount an empty disk of `size` bytes. It exists until `target` is unmounted."""
    with _template(templates, max(size, SMALLEST)).open("rb") as template:
        fresh = os.open(image, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            copy_content(template.fileno(), fresh)
        finally:
            os.close(fresh)
    with kernel.loop_device(image) as device:
        kernel.mount(
            device,
            target,
            "ext4",
            flags=MountFlag.NO_DEVICES | MountFlag.NO_SETUID,
            options="noinit_itable",
        )
    for name in _FOLDERS:
        (target / name).mkdir(mode=0o755)


def used(target: Path) -> int:
    """Return the bytes in use on a mounted scratch disk."""
    disk = os.statvfs(target)
    return (disk.f_blocks - disk.f_bfree) * disk.f_frsize


def _template(templates: Path, size: Bytes) -> Path:
    path = templates / f"{int(size)}.ext4"
    if not path.exists():
        with journal.lock(templates / ".lock"):
            if not path.exists():
                _format(path, size)
    return path


def _format(path: Path, size: Bytes) -> None:
    fresh = path.with_suffix(".tmp")
    with fresh.open("wb") as file:
        file.truncate(size)
    run(["mkfs.ext4", *_MKFS, fresh])
    fresh.rename(path)
