"""COPY and ADD: copy from trees into a root, without following a link out of either.

The module `finding` selects the items. Runs in a confined helper.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import stat
from dataclasses import dataclass, field

from runtime.builds.dockerfile.accounts import Account
from runtime.builds.dockerfile.room import Room
from runtime.builds.dockerfile.syntax import Instruction
from runtime.builds.dockerfile.tree import Tree
from runtime.trees.copying import is_kept
from runtime.trees.folder import Folder

_FIRST_TIME, _SPAN = 631_152_000, 946_080_000  # 1990, and 30 years
_LINK_TIME = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One file or folder to copy."""

    tree: Tree
    name: str  # in the tree; links in it are followed
    below: str = ""  # --parents: folders to make at the destination first
    left_out: frozenset[str] = frozenset()  # --exclude: names relative to `name`


@dataclass(slots=True)
class Copying:
    """One running COPY or ADD into `root`. `owner` owns all copies."""

    root: Tree
    owner: Account | None  # None: the owner in the source
    chmod: int | None
    of: Instruction
    room: Room
    _inodes: dict[tuple[int, int], str] = field(
        default_factory=dict
    )  # of files with several names: the first place of each
    _first_places: dict[str, tuple[int, int]] = field(
        default_factory=dict
    )  # the same, the other way

    def put(self, item: Item, destination: str, *, into_folder: bool) -> None:
        """Copy an item.

        A folder's content is copied to `destination`; a file into that folder, or to that name.
        """
        if item.below:
            destination = f"{destination.rstrip('/')}/{item.below}"
            into_folder = True
        source = item.tree.place(item.name)
        if item.tree.is_folder(source):
            self._put_folder(item, source, destination)
            return
        place = self.root.place(destination)
        if into_folder or self.root.is_folder(place):
            folder = self.folder(destination)
            place = _joined(folder, posixpath.basename(item.name) or posixpath.basename(source))
        else:
            self.folder(posixpath.dirname(destination) or "/")
            place = self.root.place(destination, follow=False)
        status = item.tree.root.status(source)
        self._put_one(item.tree.root, source, status, place, moment=item.tree.moments)

    def write(self, data: bytes, destination: str, name: str, *, into_folder: bool) -> None:
        """Write a heredoc's content as a file."""
        place = self.root.place(destination)
        if into_folder or self.root.is_folder(place):
            place = _joined(self.folder(destination), name)
        else:
            self.folder(posixpath.dirname(destination) or "/")
        self.make_way(place)
        self.root.root.write_file(place, data)
        owner = self.owner or Account(uid=0, gid=0)
        self.root.root.set_owner(place, owner.uid, owner.gid)
        self.root.root.set_mode(place, self.chmod if self.chmod is not None else 0o644)
        moment = _moment_of(hashlib.sha256(data).hexdigest()) * 10**9
        self.root.root.set_times(place, moment, moment)

    def folder(self, name: str) -> str:
        """Make a folder of the root with its parents if it does not exist. Return its place."""
        made: list[str] = []
        for part in name.split("/"):
            if part in ("", "."):
                continue
            made.append(part)
            place = self.root.place("/".join(made))
            if self.root.is_folder(place):
                continue
            if self.root.status(place) is not None:
                raise self.of.wrong(f"/{'/'.join(made)} is a file, not a folder.")
            if not self.root.is_folder(
                parent := posixpath.dirname(place)
            ):  # through a link whose target does not exist
                self.folder(parent)
            self.root.root.make_folder(place)
            if self.owner is not None:
                self.root.root.set_owner(place, self.owner.uid, self.owner.gid)
        return self.root.place(name)

    def make_way(self, place: str) -> None:
        """Remove a file or link that will be replaced."""
        if self.root.is_folder(place):
            raise self.of.wrong(
                f"A file would replace the folder /{place}.", hint="End the destination with /."
            )
        self.root.root.remove(place)
        if (inode := self._first_places.pop(place, None)) is not None:
            del self._inodes[inode]

    def mode_for(self, own: int, *, is_folder: bool) -> int:
        """Return the mode of what is copied: its own, or that of --chmod.

        A folder that --chmod makes readable can be entered, too: root of an instance has no
        CAP_DAC_OVERRIDE, with which Docker's root enters it anyway (capabilities(7)).
        """
        if self.chmod is None:
            return own
        return self.chmod | ((self.chmod & 0o444) >> 2) if is_folder else self.chmod

    def _put_folder(self, item: Item, source: str, destination: str) -> None:
        fresh = not self.root.is_folder(self.root.place(destination))
        base = self.folder(destination)
        if fresh or self.chmod is not None:
            self._dress(item.tree.root, source, item.tree.root.status(source), base)
        for found in item.tree.walk(item.name):
            if found.path in item.left_out:
                continue
            place = self.root.place(_joined(base, found.path), follow=found.is_folder)
            if found.is_folder:
                self.room.take(0)
                if not self.root.is_folder(place):
                    if self.root.status(place) is not None:
                        raise self.of.wrong(
                            f"The folder {found.path} would replace a file at {destination}."
                        )
                    self._make_folders(place)
                self._dress(found.folder, found.name, found.status, place)
            else:
                self._make_folders(posixpath.dirname(place))
                self._put_one(
                    found.folder, found.name, found.status, place, moment=item.tree.moments
                )

    def _make_folders(self, place: str) -> None:
        try:
            self.root.root.make_folders(place)
        except (
            NotADirectoryError
        ) as error:  # a link leads there, or this COPY itself put a file there
            raise self.of.wrong(
                f"The folder /{place} cannot be created: /{error.filename} is a file."
            ) from None

    def _put_one(
        self, folder: Folder, name: str, status: os.stat_result, place: str, *, moment: bool
    ) -> None:
        if stat.S_ISSOCK(status.st_mode):
            return
        self.make_way(place)
        root = self.root.root
        inode = (status.st_dev, status.st_ino)
        if status.st_nlink > 1 and (first := self._inodes.get(inode)) is not None:
            self.room.take(0)
            root.make_hard_link(place, first)
            return
        self.room.take(status.st_size)
        if stat.S_ISREG(status.st_mode):
            folder.copy_file(name, root, place)
        elif stat.S_ISLNK(status.st_mode):
            root.make_link(place, folder.read_link(name))
        elif stat.S_ISFIFO(status.st_mode):
            root.make_pipe(place)
        else:
            raise self.of.wrong(
                f"{name} is a device, which cannot be copied.",
                hint="Exclude it: containers have their own /dev.",
            )
        if status.st_nlink > 1:
            self._inodes[inode], self._first_places[place] = place, inode
        self._dress(folder, name, status, place)
        when = (status.st_atime_ns, status.st_mtime_ns)
        if moment:
            seconds = _moment(folder, name) if stat.S_ISREG(status.st_mode) else _LINK_TIME
            when = (seconds * 10**9, seconds * 10**9)
        root.set_times(place, *when)

    def _dress(self, folder: Folder, name: str, status: os.stat_result, place: str) -> None:
        """Set owner, mode and attributes, in an order in which the kernel keeps all of them."""
        owner = self.owner or Account(uid=status.st_uid, gid=status.st_gid)
        self.root.root.set_owner(place, owner.uid, owner.gid)
        is_folder = stat.S_ISDIR(status.st_mode)
        self.root.root.set_mode(
            place, self.mode_for(stat.S_IMODE(status.st_mode), is_folder=is_folder)
        )
        for key, value in folder.attributes(name).items():
            if is_kept(key):
                self.root.root.set_attribute(place, key, value)


def _joined(folder: str, name: str) -> str:
    return f"{folder}/{name}".lstrip("/")


def _moment(folder: Folder, name: str) -> int:
    """Return a time that the content decides: the same source makes the same layer."""
    return _moment_of(folder.digest(name))


def _moment_of(digest: str) -> int:
    return _FIRST_TIME + int(digest[:8], 16) % _SPAN
