"""COPY and ADD: from trees into a root, following no link out of either. What is copied is decided before (see `sources`)."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from dataclasses import dataclass, field
from pathlib import Path

from runtime.builds.dockerfile.accounts import Account
from runtime.builds.dockerfile.syntax import Instruction
from runtime.builds.dockerfile.tree import Tree, is_folder

_FIRST_TIME, _SPAN = 631_152_000, 946_080_000  # 1990, and 30 years
_LINK_TIME = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One file or folder to copy."""

    tree: Tree
    name: str  # in the tree
    below: str = ""  # --parents: folders to make at the destination first
    left_out: frozenset[str] = frozenset()  # --exclude: names relative to `name`


@dataclass(slots=True)
class Copying:
    """One COPY or ADD under way: into `root`, all of it owned by `owner`."""

    root: Tree
    owner: Account | None  # None: as the source has it
    chmod: int | None
    of: Instruction
    _inodes: dict[tuple[int, int], Path] = field(default_factory=dict)

    def put(self, item: Item, destination: str, *, into_folder: bool) -> None:
        """Copy an item; a folder's content goes to `destination`, a file into it or to that very name."""
        if item.below:
            destination = f"{destination.rstrip('/')}/{item.below}"
            into_folder = True
        source = item.tree.place(item.name)
        if is_folder(source):
            self._put_folder(item, source, destination)
            return
        place = self.root.place(destination)
        if into_folder or is_folder(place):
            folder = self.folder(destination)
            place = self.root.place(f"{self.root.relative(folder)}/{Path(item.name).name or source.name}", follow=False)
        else:
            self.folder(os.path.dirname(destination) or "/")  # noqa: PTH120  # text
            place = self.root.place(destination, follow=False)
        self._put_one(source, source.lstat(), place, moment=item.tree.moments)

    def write(self, data: bytes, destination: str, name: str, *, into_folder: bool) -> None:
        """A heredoc's content as a file."""
        place = self.root.place(destination)
        if into_folder or is_folder(place):
            place = self.folder(destination) / name
        else:
            self.folder(os.path.dirname(destination) or "/")  # noqa: PTH120  # text
        self._make_way(place)
        place.write_bytes(data)
        self._finish(place, 0o644)
        moment = _moment_of(hashlib.sha256(data).hexdigest())
        os.utime(place, (moment, moment))

    def folder(self, name: str) -> Path:
        """A folder of the root, made with its parents where it is not there."""
        made: list[str] = []
        for part in name.split("/"):
            if part in ("", "."):
                continue
            made.append(part)
            place = self.root.place("/".join(made))
            if is_folder(place):
                continue
            if os.path.lexists(place):
                raise self.of.wrong(f"/{'/'.join(made)} is a file, not a folder.")
            if not is_folder(place.parent):  # behind a link to what is not there
                self.folder(self.root.relative(place.parent))
            place.mkdir(mode=0o755)
            place.chmod(0o755)
            if self.owner is not None:
                os.chown(place, self.owner.uid, self.owner.gid)
        return self.root.place(name)

    def _put_folder(self, item: Item, source: Path, destination: str) -> None:
        target = self.root.place(destination)
        fresh = not is_folder(target)
        target = self.folder(destination)
        if fresh or self.chmod is not None:
            self._dress(source, source.stat(), target)
        base = self.root.relative(target)
        for name, path, status in item.tree.walk(item.name):
            if name in item.left_out:
                continue
            if stat.S_ISDIR(status.st_mode):
                place = self.root.place(f"{base}/{name}")
                if os.path.lexists(place) and not is_folder(place):
                    raise self.of.wrong(f"The folder {name} would replace a file at {destination}.")
                if not is_folder(place):
                    place.mkdir(mode=0o755, parents=True)
                self._dress(path, status, place)
            else:
                place = self.root.place(f"{base}/{name}", follow=False)
                place.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
                self._put_one(path, status, place, moment=item.tree.moments)

    def _put_one(self, source: Path, status: os.stat_result, place: Path, *, moment: bool) -> None:
        if stat.S_ISSOCK(status.st_mode):
            return
        self._make_way(place)
        inode = (status.st_dev, status.st_ino)
        if status.st_nlink > 1 and (first := self._inodes.get(inode)) is not None:
            os.link(first, place, follow_symlinks=False)
            return
        if stat.S_ISREG(status.st_mode):
            shutil.copyfile(source, place, follow_symlinks=False)
        elif stat.S_ISLNK(status.st_mode):
            place.symlink_to(source.readlink())
        else:
            os.mknod(place, status.st_mode, status.st_rdev)
        if status.st_nlink > 1:
            self._inodes[inode] = place
        self._dress(source, status, place)
        when = (status.st_atime_ns, status.st_mtime_ns)
        if moment:
            seconds = _moment(source) if stat.S_ISREG(status.st_mode) else _LINK_TIME
            when = (seconds * 10**9, seconds * 10**9)
        os.utime(place, ns=when, follow_symlinks=False)

    def _make_way(self, place: Path) -> None:
        if is_folder(place):
            raise self.of.wrong(f"A file would replace the folder /{self.root.relative(place)}.", hint="End the destination with /.")
        place.unlink(missing_ok=True)

    def _dress(self, source: Path, status: os.stat_result, place: Path) -> None:
        """Owner, mode and attributes, in the order in which the kernel keeps them."""
        owner = self.owner or Account(uid=status.st_uid, gid=status.st_gid)
        os.chown(place, owner.uid, owner.gid, follow_symlinks=False)
        if not stat.S_ISLNK(status.st_mode):
            place.chmod(self.chmod if self.chmod is not None else stat.S_IMODE(status.st_mode))
        for name in os.listxattr(source, follow_symlinks=False):
            if not name.startswith(("trusted.overlay.", "user.overlay.", "system.")):
                value = os.getxattr(source, name, follow_symlinks=False)
                os.setxattr(place, name, value, follow_symlinks=False)

    def _finish(self, place: Path, mode: int) -> None:
        owner = self.owner or Account(uid=0, gid=0)
        os.chown(place, owner.uid, owner.gid)
        place.chmod(self.chmod if self.chmod is not None else mode)


def _moment(path: Path) -> int:
    """A time that the content decides: the same source makes the same layer."""
    with path.open("rb") as file:
        return _moment_of(hashlib.file_digest(file, "sha256").hexdigest())


def _moment_of(digest: str) -> int:
    return _FIRST_TIME + int(digest[:8], 16) % _SPAN
