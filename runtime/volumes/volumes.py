"""The volumes of a node: creation, mounts, growth, snapshots and removal.

A volume is mounted once on the node, when an instance first needs it. Each instance gets a bind
mount of its data folder. All state is on disk and in the kernel, so any number of processes may use
a `Volumes`. It decides nothing: the portal's rows say which volumes exist, and a volume without a
row is never deleted here.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from runtime import journal
from runtime.config import NodeConfig
from runtime.containers.traversal import make_traversable
from runtime.contract.quantities import Bytes
from runtime.errors import VolumeFailed, VolumeMissing
from runtime.images.disk import disk_of
from runtime.kernel import Kernel
from runtime.team_ids import first_id_of
from runtime.volumes import disk
from runtime.volumes.choice import can_grow_while_mounted
from runtime.volumes.folder import DATA, Folder
from runtime.volumes.volume import DiskUse, Volume

_APP_USER = 1000  # of images that are built here; the first start of an image sets its own user

_DETACH_SECONDS = 0.5


class Volumes:
    """The only interface to this node's volumes."""

    def __init__(self, config: NodeConfig, *, kernel: Kernel | None = None) -> None:
        self._config, self._kernel = config, kernel or Kernel()

    def prepare(self) -> None:
        """Create the folder of volumes, which containers may pass through but not read.

        Thaw what killed processes left frozen.
        """
        self._config.volumes.mkdir(mode=0o711, parents=True, exist_ok=True)
        make_traversable(self._config.volumes, ours=self._config.state)
        self.thaw_forgotten()

    def create(self, volume: Volume) -> None:
        """Create an empty volume. Do nothing if it exists."""
        with self._locked(volume.number) as folder:
            if folder.team() is None:
                self._check_room()
                self._make(folder, volume)
            self._check_owner(folder, volume)

    def mount(self, volume: Volume, *, owner: tuple[int, int] | None = None) -> Path:
        """Mount a volume unless it is mounted, and return the folder for instances.

        `owner` are the user and group ids inside the instance, which become those of the folder.
        Raise VolumeMissing if the node does not have the volume, VolumeFailed if it is damaged.
        """
        with self._locked(volume.number) as folder:
            self._check_owner(folder, volume)
            self._ensure_mounted(folder)
            if owner is not None:
                uid, gid = (first_id_of(volume.team) + each for each in owner)
                # The node chose this name, and the tenant cannot change it.
                os.chown(folder.data, uid, gid, follow_symlinks=False)
            return folder.data

    def grow(self, volume: Volume) -> bool:
        """Enlarge a volume to its size. Return whether that is done.

        If not, this machine cannot do it while instances use the volume: the caller restarts them,
        and `mount` does it between the last old and the first new instance.
        """
        with self._locked(volume.number) as folder:
            self._check_owner(folder, volume)
            self._thaw(folder)
            disk.extend_file(folder.disk, volume.size)
            self._ensure_mounted(folder)
            device = self._device_of(folder)
            return device is None or disk.grow_disk(self._kernel, folder.disk, volume.size, device)

    def use(self, number: int) -> DiskUse | None:
        """Return how much of a volume is used; None while it is not mounted."""
        folder = self._folder(number)
        return disk.use_of(folder.mount) if self._device_of(folder) else None

    def remove(self, number: int) -> None:
        """Delete a volume with its snapshots. Do nothing if it does not exist.

        Instances that still use it keep the data until they end.
        """
        with self._locked(number) as folder:
            self._thaw(folder)
            self._unmount(folder)
            (folder.path / "volume.json").unlink(missing_ok=True)
            self._remove_copy(folder.path / "copy.ext4", folder.path / "copy")
            if folder.path.exists():
                shutil.rmtree(folder.path)  # the node chose all names in it
            for name in (f"volume-{number}", f"volume-copy-{number}"):
                (self._config.locks / name).unlink(missing_ok=True)

    def unmount_unused(self, used: Collection[int]) -> list[str]:
        """Unmount the volumes that no container uses. Return log lines."""
        done = []
        for number in self._mounted():
            if number in used:
                continue
            with journal.lock(self._lock_path(number), blocking=False) as held:
                if held:
                    self._unmount(self._folder(number))
                    done.append(f"unmounted volume {number}, which no instance uses")
        return done

    def thaw_forgotten(self) -> list[str]:
        """Thaw the volumes that a killed process left frozen. Return log lines."""
        done = []
        for mark in self._config.volumes.glob("*/frozen"):
            folder = Folder(mark.parent)
            with journal.lock(self._lock_path(folder.number), blocking=False) as held:
                if held and mark.exists():
                    self._thaw(folder)
                    done.append(f"thawed volume {folder.number}, which a killed process had frozen")
        return done

    def tear_down(self) -> None:
        """Unmount all volumes of this node. Their data stays."""
        self.thaw_forgotten()
        for number in self._mounted():
            with self._locked(number) as folder:
                self._unmount(folder)

    # Snapshots

    def take_snapshot(self, volume: Volume, snapshot: int) -> Bytes:
        """Copy a volume's disk to a snapshot, and return the bytes that it takes on disk.

        Writes of instances wait during the copy. An existing snapshot is not replaced.
        """
        with self._locked(volume.number) as folder:
            self._check_owner(folder, volume)
            target = folder.snapshot(snapshot)
            if not target.exists():
                self._check_room()
                folder.snapshots.mkdir(mode=0o700, exist_ok=True)
                with self._still(folder):
                    disk.copy_disk(folder.disk, target)
            return Bytes(target.stat().st_blocks * 512)

    def remove_snapshot(self, number: int, snapshot: int) -> None:
        """Delete a snapshot. Do nothing if it does not exist."""
        with self._locked(number) as folder:
            folder.snapshot(snapshot).unlink(missing_ok=True)

    def restore(self, volume: Volume, snapshot: int) -> None:
        """Replace a volume's disk by a copy of a snapshot.

        Instances that run keep the old content until they are replaced; the caller restarts them.
        """
        with self._locked(volume.number) as folder:
            self._check_owner(folder, volume)
            source = folder.snapshot(snapshot)
            if not source.exists():
                raise VolumeMissing(
                    f"The node does not have snapshot {snapshot} of volume {volume.number}.",
                    hint="Choose another snapshot.",
                )
            self._check_room()
            self._replace(folder, source, volume)

    def clone(self, volume: Volume, *, source: Volume, snapshot: int | None = None) -> None:
        """Create a volume with the content of another one of the same team, or of its snapshot.

        Do nothing if it exists.
        """
        if volume.team != source.team or volume.size < source.size:
            raise VolumeFailed(
                f"Volume {source.number} cannot be cloned to volume {volume.number}.",
                hint="The clone needs the same team, and at least the same size.",
            )
        with self._locked(volume.number) as folder:
            if folder.team() is not None:
                self._check_owner(folder, volume)
                return
            self._check_room()
            self._clear(folder)
            with self._copied(source, snapshot) as old:
                disk.copy_disk(old, folder.disk)
            folder.write_team(volume.team)
        self.grow(volume)

    @contextmanager
    def opened_copy(self, volume: Volume) -> Iterator[Path]:
        """Mount a consistent copy of a volume read-only, and yield its data folder.

        Instances can start and write meanwhile. Only one copy of a volume exists at a time.
        """
        with journal.lock(self._config.locks / f"volume-copy-{volume.number}"):
            folder = self._folder(volume.number)
            copy, place = folder.path / "copy.ext4", folder.path / "copy"
            try:
                with self._locked(volume.number):
                    self._check_owner(folder, volume)
                    self._check_room()
                    self._remove_copy(copy, place)  # of a killed process
                    with self._still(folder):
                        disk.copy_disk(folder.disk, copy)
                disk.check_disk(copy)
                place.mkdir(mode=0o700)
                disk.mount_disk(self._kernel, copy, place, read_only=True)
                yield place / DATA
            finally:
                self._remove_copy(copy, place)

    # Private

    def _check_room(self) -> None:
        found = disk_of(self._config)
        if found.percent >= self._config.disk_full:
            raise VolumeFailed(
                f"The disk of this node is {found.describe()}, so no volume is created or copied.",
                hint="Ask an admin to free disk space: `manage.py image df` shows what uses it.",
            )

    def _make(self, folder: Folder, volume: Volume) -> None:
        self._clear(folder)
        disk.format_disk(folder.disk, volume.size)
        disk.mount_disk(self._kernel, folder.disk, folder.mount)
        folder.mount.chmod(0o711)
        folder.data.mkdir(mode=0o755)
        owner = first_id_of(volume.team) + _APP_USER
        os.chown(folder.data, owner, owner, follow_symlinks=False)
        self._unmount(folder)
        folder.write_team(volume.team)

    def _clear(self, folder: Folder) -> None:
        """Create the folder, without the files of a creation that was killed."""
        self._unmount(folder)
        for path in (folder.path, folder.mount):
            path.mkdir(mode=0o711, exist_ok=True)
            path.chmod(0o711)
        folder.disk.unlink(missing_ok=True)

    def _check_owner(self, folder: Folder, volume: Volume) -> None:
        team = folder.team()
        if team is None or not folder.disk.exists():
            raise VolumeMissing(
                f"The node does not have the data of volume {volume.number}.",
                hint="An admin may have removed it. It is not replaced by an empty volume.",
            )
        if team != volume.team:
            raise VolumeFailed(
                f"Volume {volume.number} does not belong to team {volume.team}.",
                hint="This is an error of the platform. Ask its admin.",
            )

    def _ensure_mounted(self, folder: Folder) -> None:
        """Mount the disk, at the size of its file if possible."""
        if self._device_of(folder) is not None:
            if not disk.is_smaller_than_file(folder.disk) or can_grow_while_mounted():
                return
            self._unmount(folder)
        if not self._is_attached(folder):
            if disk.is_smaller_than_file(folder.disk):
                disk.grow_unmounted(folder.disk)
            else:
                disk.check_disk(folder.disk)
        disk.mount_disk(self._kernel, folder.disk, folder.mount)

    def _is_attached(self, folder: Folder) -> bool:
        """Return whether instances use the disk. A mount that has just ended needs a moment."""
        deadline = time.monotonic() + _DETACH_SECONDS
        while self._kernel.has_loop_device(folder.disk):
            if time.monotonic() > deadline:
                return True
            time.sleep(0.01)
        return False

    def _replace(self, folder: Folder, source: Path, volume: Volume) -> None:
        self._thaw(folder)
        self._unmount(folder)
        disk.copy_disk(source, folder.disk)
        disk.extend_file(folder.disk, volume.size)
        self._ensure_mounted(folder)

    @contextmanager
    def _copied(self, source: Volume, snapshot: int | None) -> Iterator[Path]:
        """Yield a disk that does not change during the block."""
        with self._locked(source.number) as folder:
            self._check_owner(folder, source)
            if snapshot is None:
                with self._still(folder):
                    yield folder.disk
            elif folder.snapshot(snapshot).exists():
                yield folder.snapshot(snapshot)
            else:
                raise VolumeMissing(
                    f"The node does not have snapshot {snapshot} of volume {source.number}."
                )

    @contextmanager
    def _still(self, folder: Folder) -> Iterator[None]:
        """Stop writes to the disk. The mark is written first, for `thaw_forgotten`."""
        if self._device_of(folder) is None:
            yield
            return
        folder.frozen.touch(mode=0o600)
        try:
            self._kernel.freeze_disk(folder.mount, frozen=True)
            yield
        finally:
            self._thaw(folder)

    def _thaw(self, folder: Folder) -> None:
        if folder.frozen.exists():
            if self._device_of(folder) is not None:
                self._kernel.freeze_disk(folder.mount, frozen=False)
            folder.frozen.unlink(missing_ok=True)

    def _unmount(self, folder: Folder) -> None:
        while self._device_of(folder) is not None:
            self._kernel.unmount(folder.mount, lazily=True)

    def _remove_copy(self, copy: Path, place: Path) -> None:
        while self._kernel.unmount(place, lazily=True):
            pass
        if place.is_dir():
            place.rmdir()
        copy.unlink(missing_ok=True)

    def _device_of(self, folder: Folder) -> str | None:
        """Return the device that is mounted at the folder's mount point, or None."""
        return next(
            (mount.source for mount in self._kernel.mounts() if mount.target == folder.mount), None
        )

    def _mounted(self) -> list[int]:
        return [
            int(mount.target.parent.name)
            for mount in self._kernel.mounts()
            if mount.target.name == "mount" and mount.target.parent.parent == self._config.volumes
        ]

    def _folder(self, number: int) -> Folder:
        return Folder(self._config.volumes / str(number))

    def _lock_path(self, number: int) -> Path:
        return self._config.locks / f"volume-{number}"

    @contextmanager
    def _locked(self, number: int) -> Iterator[Folder]:
        with journal.lock(self._lock_path(number)):
            yield self._folder(number)
