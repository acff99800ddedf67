"""The conversion of a layer between overlay tree and OCI layer tarball (image-spec, layer.md).

An overlay marks a deleted name with a character device 0/0, and a folder that hides all layers
below with an `opaque` attribute (Documentation/filesystems/overlayfs.rst). The tarball uses `.wh.`
names for both. Nothing here compresses or stores. Trees are untrusted, so this runs in a confined
helper (see runtime.images.layers.packing), and names are only opened relative to a descriptor.
"""

from __future__ import annotations

import errno
import os
import stat
import tarfile
from typing import Protocol

from runtime.errors import BuildFailed, ImageDamaged
from runtime.trees.copying import OPAQUE, is_kept
from runtime.trees.folder import Folder
from runtime.trees.plain import Source
from runtime.trees.tar import TarReader
from runtime.trees.tar_entries import Kind, Member
from runtime.trees.walk import Found, walk

_WHITEOUT = ".wh."
_OPAQUE_MARK = ".wh..wh..opq"
# The overlay's own attributes: never part of a layer.
_OWN_ATTRIBUTES = ("trusted.overlay.", "user.overlay.")
_XATTR = "SCHILY.xattr."  # the pax key that GNU tar, bsdtar and Docker use
_BLOCK = tarfile.BLOCKSIZE
_CHUNK = 1 << 20
_HOLE = 1 << 16  # bytes of zeros that become a hole instead of being written
_LARGEST_ID = 65_535  # of a team's range; files with a higher id get the id of nobody
_NOBODY = 65_534
_OF_THE_LAYER = frozenset(  # errors that the names, links, times or attributes of an entry cause
    {
        errno.ENOENT,
        errno.EEXIST,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.EINVAL,
        errno.EMLINK,
        errno.ERANGE,
        errno.E2BIG,
        errno.EOPNOTSUPP,
    }
)
_IMPORT_AGAIN = "Import the image again from its source."


class Sink(Protocol):
    def write(self, data: bytes, /) -> object: ...


def write_tar(top: Folder, sink: Sink) -> int:
    """Write the tree below `top` as a layer tarball, and return the number of bytes written.

    Entries are sorted and keep numeric owners, modes, extended attributes and nanosecond times, so
    the same tree gives the same bytes. Sockets are left out: only the process that made them can
    use them. Raise BuildFailed for a name that a layer cannot contain, so that two different trees
    never give the same bytes.
    """
    written = 0
    links: dict[tuple[int, int], str] = {}  # inode -> first name
    for found in walk(top):
        if stat.S_ISSOCK(found.status.st_mode):
            continue
        _check_name(found)
        header = _header(found, links)
        head = header.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
        sink.write(head)
        written += len(head)
        if header.isreg() and header.size:
            written += _copy(found, header.size, sink)
        if found.is_folder and is_opaque(found.folder, found.name):
            mark = tarfile.TarInfo(f"{found.path}/{_OPAQUE_MARK}").tobuf(tarfile.PAX_FORMAT)
            sink.write(mark)
            written += len(mark)
    end = bytes(2 * _BLOCK)
    sink.write(end)
    return written + len(end)


def unpack_tar(source: Source, target: Folder) -> None:
    """Unpack a layer tarball below the empty folder `target`, in the overlay's form.

    The tarball may be untrusted. A later entry replaces an earlier one of the same name. Devices
    are left out, since containers may not open them. Raises ImageDamaged for an entry outside
    `target`, and runtime.trees.plain.Unreadable if the source is not a tarball.
    """
    folders: dict[str, int] = {}  # their times are set last: creating a file inside changes them
    reader = TarReader(source)
    for member in reader:
        name = _inside(target, member.name)
        try:
            _unpack_entry(reader, member, name, target)
        except OSError as error:
            if error.errno not in _OF_THE_LAYER:
                raise
            raise ImageDamaged(
                f"The layer's entry {member.name!r} cannot be unpacked: {error.strerror}.",
                hint=_IMPORT_AGAIN,
            ) from None
        folders.pop(name, None)
        if member.kind is Kind.FOLDER:
            folders[name] = member.modified
    for name, moment in reversed(folders.items()):
        if target.is_folder(name):
            target.set_times(name, moment, moment)


def normalise_opaque(top: Folder) -> None:
    """Remove the overlay's own attributes from an upper's folders, except the `opaque` mark."""
    for found in walk(top):
        if not found.is_folder:
            continue
        attributes = found.folder.attributes(found.name)
        opaque = attributes.get(OPAQUE) == b"y"
        for attribute in attributes:
            if attribute.startswith(_OWN_ATTRIBUTES) and not (opaque and attribute == OPAQUE):
                found.folder.remove_attribute(found.name, attribute)


def is_opaque(folder: Folder, name: str = "") -> bool:
    """Return whether a folder of an overlay hides the same folder of lower layers."""
    return folder.attributes(name).get(OPAQUE) == b"y"


def is_whiteout(status: os.stat_result) -> bool:
    """Return whether the file marks its name as deleted by the layer."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def _check_name(found: Found) -> None:
    """Raise BuildFailed for a name that marks a deleted file in a tarball (layer.md)."""
    if found.name.startswith(_WHITEOUT):
        raise BuildFailed(
            f"The file {found.path!r} cannot be part of an image: a name that begins with"
            f" {_WHITEOUT} marks a deleted file there.",
            hint="Rename or remove the file.",
        )


def _check_attribute(found: Found, attribute: str) -> None:
    """Raise BuildFailed for a name with =, because the key of a pax record ends at the first one
    (pax(1)).
    """
    if "=" in attribute:
        raise BuildFailed(
            f"The file {found.path!r} has the extended attribute {attribute!r}, which cannot be"
            " part of an image: its name contains =.",
            hint="Remove the attribute, for example with setfattr -x.",
        )


def _header(found: Found, links: dict[tuple[int, int], str]) -> tarfile.TarInfo:
    name, status = found.path, found.status
    mode = status.st_mode
    if is_whiteout(status):
        folder, _, last = name.rpartition("/")
        return tarfile.TarInfo(f"{folder}/{_WHITEOUT}{last}".lstrip("/"))
    header = tarfile.TarInfo(name)
    header.mode = stat.S_IMODE(mode)
    header.uid, header.gid = status.st_uid, status.st_gid
    header.mtime = status.st_mtime_ns // 1_000_000_000
    extended: dict[str, str] = {}
    header.pax_headers = extended
    whole, fraction = divmod(abs(status.st_mtime_ns), 1_000_000_000)
    if fraction:
        extended["mtime"] = f"{'-' if status.st_mtime_ns < 0 else ''}{whole}.{fraction:09d}"
    if stat.S_ISREG(mode):
        if status.st_nlink > 1:
            first = links.setdefault((status.st_dev, status.st_ino), name)
            if first != name:
                header.type, header.linkname = tarfile.LNKTYPE, first
                return header
        header.size = status.st_size
    elif stat.S_ISDIR(mode):
        header.type = tarfile.DIRTYPE
    elif stat.S_ISLNK(mode):
        header.type, header.linkname = tarfile.SYMTYPE, found.folder.read_link(found.name)
    elif stat.S_ISFIFO(mode):
        header.type = tarfile.FIFOTYPE
    else:
        header.type = tarfile.CHRTYPE if stat.S_ISCHR(mode) else tarfile.BLKTYPE
        header.devmajor, header.devminor = os.major(status.st_rdev), os.minor(status.st_rdev)
    for attribute, value in sorted(found.folder.attributes(found.name).items()):
        if is_kept(attribute):
            _check_attribute(found, attribute)
            extended[_XATTR + attribute] = value.decode("utf-8", "surrogateescape")
    return header


def _copy(found: Found, size: int, sink: Sink) -> int:
    left = size
    with found.folder.open_file(found.name) as file:
        while left and (chunk := file.read(min(left, _CHUNK))):
            sink.write(chunk)
            left -= len(chunk)
    if left:
        raise ImageDamaged(
            f"{found.path} shrank while it was read into a layer.",
            hint="Do not write to a tree that becomes a layer.",
        )
    padding = -size % _BLOCK
    sink.write(bytes(padding))
    return size + padding


def _inside(target: Folder, name: str) -> str:
    """Return the entry's path, after creating missing parents; "" for the entry `./`."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ImageDamaged(
            f"The layer has the name {name!r}, which leads outside of it.", hint=_IMPORT_AGAIN
        )
    try:
        target.make_folders("/".join(parts[:-1]))
    except NotADirectoryError as error:
        raise ImageDamaged(
            f"The layer has the name {name!r}, but {error.filename!r} is not a folder in it.",
            hint="Builders do not make such images; do not trust it.",
        ) from None
    return "/".join(parts)


def _unpack_entry(reader: TarReader, member: Member, name: str, target: Folder) -> None:
    folder, _, leaf = name.rpartition("/")
    if leaf == _OPAQUE_MARK:
        target.set_attribute(folder, OPAQUE, b"y")
    elif leaf.startswith(_WHITEOUT):
        _unpack_whiteout(target, name)
    else:
        _unpack_member(reader, member, name, target)


def _unpack_whiteout(target: Folder, name: str) -> None:
    folder, _, leaf = name.rpartition("/")
    gone = leaf.removeprefix(_WHITEOUT)
    if gone.startswith(_WHITEOUT):
        return  # internal files of other union file systems
    if gone in ("", ".", ".."):
        raise ImageDamaged(f"The layer deletes {leaf!r}, which is not a name.", hint=_IMPORT_AGAIN)
    place = f"{folder}/{gone}".lstrip("/")
    target.remove(place)
    target.make_whiteout(place)


def _unpack_member(reader: TarReader, member: Member, name: str, target: Folder) -> None:
    if member.kind is Kind.OTHER:
        raise ImageDamaged(
            f"The layer's entry {member.name!r} has an unknown type.", hint=_IMPORT_AGAIN
        )
    if not name and member.kind is not Kind.FOLDER:
        raise ImageDamaged("The layer's own top folder is not a folder.", hint=_IMPORT_AGAIN)
    if member.kind in (Kind.CHARACTER_DEVICE, Kind.BLOCK_DEVICE):
        target.remove(name)
        return
    if not (member.kind is Kind.FOLDER and target.is_folder(name)):
        target.remove(name)
    if member.kind is Kind.HARD_LINK:  # to an earlier name in this layer
        _unpack_hard_link(member, name, target)
        return
    _make(reader, member, name, target)
    target.set_owner(
        name, *(owner if owner <= _LARGEST_ID else _NOBODY for owner in (member.uid, member.gid))
    )
    target.set_mode(name, member.mode)
    for key, value in member.attributes.items():
        if is_kept(key):  # an untrusted redirect would mislead the overlay
            target.set_attribute(name, key, value)
    target.set_times(name, member.modified, member.modified)


def _unpack_hard_link(member: Member, name: str, target: Folder) -> None:
    existing = _inside(target, member.link)
    found = target.find(existing) if existing else None
    if found is None or stat.S_ISDIR(found.st_mode):
        what = (
            f"The layer's entry {member.name!r} is a hard link to {member.link!r}, which is not an"
            " earlier file of the layer."
        )
        raise ImageDamaged(what, hint=_IMPORT_AGAIN)
    target.make_hard_link(name, existing)


def _make(reader: TarReader, member: Member, name: str, target: Folder) -> None:
    if member.kind is Kind.FOLDER:
        if not target.is_folder(name):
            target.make_folder(name)
    elif member.kind is Kind.LINK:
        target.make_link(name, member.link)
    elif member.kind is Kind.FIFO:
        target.make_pipe(name)
    else:
        with target.create_file(name, 0o600) as file:
            _write_content(reader, file)


class File(Protocol):
    def write(self, data: bytes, /) -> object: ...
    def seek(self, offset: int, whence: int, /) -> object: ...
    def truncate(self) -> object: ...


def _write_content(reader: TarReader, file: File) -> None:
    """Write a file's content. Holes are kept, and long runs of zeros become holes."""

    def write(data: bytes) -> None:
        for start in range(0, len(data), _HOLE):
            piece = data[start : start + _HOLE]
            if piece.count(0) == len(piece):
                file.seek(len(piece), os.SEEK_CUR)
            else:
                file.write(piece)

    reader.copy_to(write, hole=lambda length: file.seek(length, os.SEEK_CUR))
    file.truncate()
