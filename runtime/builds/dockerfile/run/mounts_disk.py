"""The private disk of a RUN step's writable bind mounts.

A step may write to such a mount, and the writes are discarded. They are on a disk image with the
size limit of the step, so that they cannot fill the host's disk.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from runtime.builds.context import BuildContext
from runtime.containers.disk.scratch import mount_scratch


@dataclass(slots=True, kw_only=True)
class MountsDisk:
    """One disk for all writable bind mounts of a step. It is unmounted when `stack` ends."""

    context: BuildContext
    place: Path  # the step's folder in the workspace; a sweep removes mounts there after a kill
    stack: ExitStack
    _mounted: bool = False

    def folder(self, name: str) -> Path:
        """Make an empty folder on the disk. The first call makes and mounts the disk."""
        disk = self.place / "disk"
        if not self._mounted:
            self._mount(disk)
        folder = disk / name
        folder.mkdir(mode=0o755)
        return folder

    def _mount(self, disk: Path) -> None:
        context, image = self.context, self.place / "disk.ext4"
        disk.mkdir(mode=0o711)
        mount_scratch(
            context.kernel, context.config.disk_templates, image, disk, context.limits.disk
        )
        self._mounted = True
        self.stack.callback(context.kernel.unmount, disk, lazily=True)
        image.unlink()  # the mount keeps its content, so nothing remains after the mount
