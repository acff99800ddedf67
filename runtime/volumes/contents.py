"""The content of a volume: a list of a folder, an archive of all files, and unpacking an archive.

It runs in a confined helper, because a tenant chose all names, and the app may change them at the
same time. Links are never followed: they are listed, packed and unpacked as links.
"""

from __future__ import annotations

import errno
import os
import stat
import tarfile
from dataclasses import dataclass
from itertools import islice
from typing import BinaryIO

from runtime.builds.source.archive_kind import kind_of
from runtime.builds.source.tar_archive import unpack_tar
from runtime.builds.source.unpacked_tree import CHUNK, Entry, UnpackedTree, parts_of
from runtime.builds.source.zip_archive import unpack_zip
from runtime.confined.registry import confined, returns_many_names
from runtime.errors import BadArchive, VolumeFailed
from runtime.images.layers.compression import Compression, CompressionSink, compressing
from runtime.trees.folder import Folder
from runtime.trees.walk import Found, TooDeep, walk

MOST_LISTED = 1000
MOST_UNPACKED = 200_000  # entries of an uploaded archive
_LONGEST_LINK = 200  # characters of a link's target in a list
_OF_THE_TREE = (
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ELOOP,
    errno.EEXIST,
    errno.EXDEV,
    errno.ENOTEMPTY,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedFile:
    """A name in a folder. `kind` is folder, file, link or other."""

    name: str
    kind: str
    size: int
    modified: int  # seconds since 1970
    link: str = ""  # the target of a link, which is not followed


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The first names that a folder has, folders first. `is_whole`: there are no others."""

    files: tuple[ListedFile, ...]
    is_whole: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """The number of files in an archive, and of entries that were left out."""

    files: int
    left_out: int


@confined
@returns_many_names
def listing(top: Folder, place: str, most: int) -> Listing:
    """List a folder below `top`, by at most `most` of its names.

    Raise VolumeFailed if there is no such folder.
    """
    try:
        folder = top.subfolder(place or ".")
    except OSError as error:
        if error.errno not in _OF_THE_TREE:
            raise
        raise VolumeFailed(
            f"The volume has no folder {place[:200]!r}.", hint="Links are not followed."
        ) from None
    with folder, os.scandir(folder.fd) as entries:
        names = [entry.name for entry in islice(entries, most + 1)]
        found = [listed for name in names[:most] if (listed := _listed(folder, name)) is not None]
    found.sort(key=lambda each: (each.kind != "folder", each.name))
    return Listing(files=tuple(found), is_whole=len(names) <= most)


@confined
def pack(top: Folder, archive: BinaryIO) -> Counted:
    """Write all files below `top` as a tar.gz. Sockets, pipes and devices are left out."""
    files = left_out = 0
    links: dict[tuple[int, int], str] = {}  # inode -> first name
    with compressing(archive, Compression.GZIP) as sink:
        try:
            for found in walk(top):
                header = _header(found, links)
                if header is None:
                    left_out += 1
                    continue
                sink.write(header.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))
                if header.isreg():
                    files += 1
                    with found.folder.open_file(found.name) as file:
                        _write(file, header.size, sink)
        except TooDeep as error:
            raise VolumeFailed(
                f"The volume cannot be packed: {error.strerror}.",
                hint="Move the files to folders that are less nested.",
            ) from None
        sink.write(bytes(2 * tarfile.BLOCKSIZE))
    archive.flush()
    return Counted(files=files, left_out=left_out)


@confined
def unpack(top: Folder, place: str, archive: BinaryIO, filename: str, most: int) -> Counted:
    """Unpack an archive into the folder `place` below `top`, and replace files of the same name.

    The files get the owner of `top`. BadArchive names the fault; what was written before it stays.
    """
    tree = _Tree(top, max_bytes=most, max_entries=MOST_UNPACKED)
    tree.place, tree.owner = place, top.status().st_uid
    try:
        kind = kind_of(archive, filename)
        if kind == "zip":
            unpack_zip(archive, tree)
        else:
            unpack_tar(archive, kind, tree)
        tree.set_folder_modes()
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise VolumeFailed(
                f"The volume became full after {tree.files} files.",
                hint="Delete files, or make the volume larger. Then upload again.",
            ) from None
        if error.errno not in _OF_THE_TREE:
            raise
        raise VolumeFailed(
            f"Could not write {str(error.filename)[:200]!r}: {error.strerror}.",
            hint="A name in the archive is a link or another type of file in the volume.",
        ) from None
    return Counted(files=tree.files, left_out=tree.special)


class _Tree(UnpackedTree):
    """The volume as the target of the archive readers. Its files may exist, and links may lead
    anywhere: only the app follows them, inside its instance.
    """

    place = ""
    owner = 0
    special = 0  # entries that were left out, such as devices

    def add(self, entry: Entry) -> None:
        """Write one entry, without setuid bits."""
        self.count()
        parts = parts_of(entry.name)
        if entry.strange or not parts:
            self.special += bool(entry.strange)
            return
        inner = [part for part in self.place.split("/") if part]
        path = "/".join((*inner, *parts))
        self._make_parents((*inner, *parts) if entry.is_folder else (*inner, *parts[:-1]))
        if entry.is_folder:
            self._folder_modes[path] = entry.mode & 0o777 | stat.S_IRWXU
            return
        if self.root.is_folder(path):
            raise BadArchive(
                f"{'/'.join(parts)!r} is a folder in the volume, and not one in the archive.",
                hint="Delete or rename the folder first.",
            )
        self.root.remove(path)
        if entry.symlink is not None:
            self.root.make_link(path, entry.symlink)
        elif entry.hard_link is not None:
            self.root.make_hard_link(path, "/".join((*inner, *parts_of(entry.hard_link))))
        else:
            self._write(path, entry)
        self.root.set_owner(path, self.owner, self.owner)
        self.files += 1

    def _make_parents(self, parts: tuple[str, ...]) -> None:
        for depth in range(1, len(parts) + 1):
            path = "/".join(parts[:depth])
            if not self.root.is_folder(path):
                self.root.make_folder(path)
                self.root.set_owner(path, self.owner, self.owner)


def _listed(folder: Folder, name: str) -> ListedFile | None:
    found = folder.find(name)
    if found is None:
        return None
    link = ""
    if stat.S_ISLNK(found.st_mode):
        kind = "link"
        try:
            link = folder.read_link(name)[:_LONGEST_LINK]
        except OSError:  # replaced in the meantime
            return None
    elif stat.S_ISDIR(found.st_mode):
        kind = "folder"
    else:
        kind = "file" if stat.S_ISREG(found.st_mode) else "other"
    return ListedFile(
        name=name, kind=kind, size=found.st_size, modified=int(found.st_mtime), link=link
    )


def _header(found: Found, links: dict[tuple[int, int], str]) -> tarfile.TarInfo | None:
    """Return the entry of a file; None for a type that is left out."""
    status = found.status
    header = tarfile.TarInfo(found.path)
    header.mode = stat.S_IMODE(status.st_mode) & 0o777
    header.uid, header.gid = status.st_uid, status.st_gid
    header.mtime = max(int(status.st_mtime), 0)
    if stat.S_ISDIR(status.st_mode):
        header.type = tarfile.DIRTYPE
    elif stat.S_ISLNK(status.st_mode):
        header.type, header.linkname = tarfile.SYMTYPE, found.folder.read_link(found.name)
    elif not stat.S_ISREG(status.st_mode):
        return None
    elif (first := links.setdefault((status.st_dev, status.st_ino), found.path)) != found.path:
        header.type, header.linkname = tarfile.LNKTYPE, first
    else:
        header.size = status.st_size
    return header


def _write(file: BinaryIO, size: int, sink: CompressionSink) -> None:
    left = size
    while left and (chunk := file.read(min(left, CHUNK))):
        sink.write(chunk)
        left -= len(chunk)
    sink.write(bytes(left + -size % tarfile.BLOCKSIZE))
