"""One layer between its two forms: an overlay's directory tree and the OCI layer tarball (image-spec, layer.md).

The overlay says "deleted" with a character device 0/0 and "replaces all below" with an `opaque` attribute
(Documentation/filesystems/overlayfs.rst); the tarball says both with `.wh.` names. Nothing here compresses or stores.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from runtime import stopping
from runtime.errors import ImageDamaged
from runtime.trees.tar import Kind, Member, TarReader

_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_OPAQUE_ATTRIBUTES = ("trusted.overlay.opaque", "user.overlay.opaque")
_OWN_ATTRIBUTES = ("trusted.overlay.", "user.overlay.")  # the overlay's bookkeeping: never part of a layer
_XATTR = "SCHILY.xattr."  # the pax key GNU tar, bsdtar and Docker agree on
_BLOCK = tarfile.BLOCKSIZE
_CHUNK = 1 << 20
_HOLE = 1 << 16  # bytes of zeros from which on they are not written
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
_IMPORT_AGAIN = "Import the image again from where it came."


class Sink(Protocol):
    def write(self, data: bytes, /) -> object: ...


def write_tar(tree: Path, sink: Sink) -> int:
    """Write the tree below `tree` as a layer tarball; returns the bytes written.

    Entries are sorted and carry numeric owners, modes, extended attributes and nanosecond times as they are, so the same
    tree gives the same bytes. Sockets are left out: they mean nothing outside the process that made them.
    """
    written = 0
    links: dict[tuple[int, int], str] = {}  # inode -> first name
    for name, path, status in _walk(tree):
        stopping.check()
        if stat.S_ISSOCK(status.st_mode):
            continue
        header = _header(name, path, status, links)
        head = header.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
        sink.write(head)
        written += len(head)
        if header.isreg() and header.size:
            written += _copy(path, header.size, sink)
        if stat.S_ISDIR(status.st_mode) and is_opaque(path):
            mark = tarfile.TarInfo(f"{name}/{_OPAQUE}").tobuf(tarfile.PAX_FORMAT)
            sink.write(mark)
            written += len(mark)
    end = bytes(2 * _BLOCK)
    sink.write(end)
    return written + len(end)


def unpack_tar(source: BinaryIO, target: Path) -> None:
    """Unpack a layer tarball below the empty folder `target`, in the overlay's form.

    The tarball may be a stranger's: nothing is ever written through a symbolic link, so nothing leaves the folder. A later entry of
    the same name takes the place of an earlier one. ImageDamaged names an entry that climbs out or cannot be made; Unreadable: not a tarball, or a damaged one.
    """
    folders: list[tuple[Path, int]] = []  # their times are set last: making a file inside changes them
    reader = TarReader(source)
    for member in reader:
        try:
            path = _inside(target, member.name)
            if path.name == _OPAQUE:
                os.setxattr(path.parent, _OPAQUE_ATTRIBUTES[0], b"y")
            elif path.name.startswith(_WHITEOUT) and path != target:
                _unpack_whiteout(path)
            else:
                _unpack_member(reader, member, path, target)
                if member.kind is Kind.FOLDER:
                    folders.append((path, member.modified))
        except OSError as error:
            if error.errno not in _OF_THE_LAYER:
                raise
            raise ImageDamaged(f"The layer's entry {member.name!r} cannot be unpacked: {error.strerror}.", hint=_IMPORT_AGAIN) from None
    for path, moment in reversed(folders):
        if stat.S_ISDIR(path.lstat().st_mode):
            os.utime(path, ns=(moment, moment))


def normalise_opaque(tree: Path) -> None:
    """Drop the overlay's bookkeeping from an upper's folders and say `opaque` the one way every later mount reads."""
    for _, path, status in _walk(tree):
        if not stat.S_ISDIR(status.st_mode):
            continue
        opaque = is_opaque(path)
        for attribute in os.listxattr(path, follow_symlinks=False):
            if attribute.startswith(_OWN_ATTRIBUTES):
                os.removexattr(path, attribute, follow_symlinks=False)
        if opaque:
            os.setxattr(path, _OPAQUE_ATTRIBUTES[0], b"y")


def is_opaque(path: Path) -> bool:
    """Whether a folder of an overlay hides all that is below it."""
    attributes = os.listxattr(path, follow_symlinks=False)
    return any(name in attributes and os.getxattr(path, name, follow_symlinks=False) == b"y" for name in _OPAQUE_ATTRIBUTES)


def _walk(tree: Path) -> Iterator[tuple[str, Path, os.stat_result]]:
    """(name in the layer, path, status) of all below `tree`, each folder before what it holds, names sorted."""
    pending = [("", tree)]
    while pending:
        prefix, folder = pending.pop()
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        below = []
        for entry in found:
            status = entry.stat(follow_symlinks=False)
            name = f"{prefix}{entry.name}"
            path = Path(entry.path)
            yield name, path, status
            if stat.S_ISDIR(status.st_mode):
                below.append((f"{name}/", path))
        pending.extend(reversed(below))


def _header(name: str, path: Path, status: os.stat_result, links: dict[tuple[int, int], str]) -> tarfile.TarInfo:
    mode = status.st_mode
    if stat.S_ISCHR(mode) and status.st_rdev == 0:
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
        header.type, header.linkname = tarfile.SYMTYPE, str(path.readlink())
    elif stat.S_ISFIFO(mode):
        header.type = tarfile.FIFOTYPE
    else:
        header.type = tarfile.CHRTYPE if stat.S_ISCHR(mode) else tarfile.BLKTYPE
        header.devmajor, header.devminor = os.major(status.st_rdev), os.minor(status.st_rdev)
    for attribute in sorted(os.listxattr(path, follow_symlinks=False)):
        if not attribute.startswith(_OWN_ATTRIBUTES):
            value = os.getxattr(path, attribute, follow_symlinks=False)
            extended[_XATTR + attribute] = value.decode("utf-8", "surrogateescape")
    return header


def _copy(path: Path, size: int, sink: Sink) -> int:
    left = size
    with path.open("rb", buffering=0) as file:
        while left and (chunk := file.read(min(left, _CHUNK))):
            stopping.check()
            sink.write(chunk)
            left -= len(chunk)
    if left:
        raise ImageDamaged(f"{path} shrank while it was read into a layer.", hint="Nothing may write to a tree that becomes a layer.")
    padding = -size % _BLOCK
    sink.write(bytes(padding))
    return size + padding


def _inside(target: Path, name: str) -> Path:
    """The entry's place, its parents there and real folders; `target` itself for the entry `./`."""
    parts = Path(name.lstrip("/")).parts
    if ".." in parts:
        raise ImageDamaged(f"The layer holds the name {name!r}, which leaves it.", hint="Import the image again from where it came.")
    path = target
    for part in parts[:-1]:
        path /= part
        try:
            mode = path.lstat().st_mode
        except FileNotFoundError:
            path.mkdir(mode=0o755)
            continue
        if not stat.S_ISDIR(mode):
            raise ImageDamaged(
                f"The layer holds the name {name!r}, which goes through {path.name!r}, and that is no folder in it.",
                hint="An image made by other means than a builder's may do that; do not trust it.",
            )
    return path / parts[-1] if parts else path


def _unpack_whiteout(path: Path) -> None:
    name = path.name.removeprefix(_WHITEOUT)
    if name.startswith(_WHITEOUT):
        return  # bookkeeping of other union file systems
    if name in ("", ".", ".."):
        raise ImageDamaged(f"The layer deletes {path.name!r}, which is no name.", hint="Import the image again from where it came.")
    gone = path.with_name(name)
    _clear(gone)
    os.mknod(gone, stat.S_IFCHR, os.makedev(0, 0))


def _clear(path: Path) -> None:
    """Make place for an entry that comes again."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode):
        shutil.rmtree(path)
    else:
        path.unlink()


def _unpack_member(reader: TarReader, member: Member, path: Path, target: Path) -> None:
    if member.kind is Kind.OTHER:
        raise ImageDamaged(f"The layer's entry {member.name!r} is of a type that is not known.", hint=_IMPORT_AGAIN)
    is_folder = member.kind is Kind.FOLDER
    if path == target and not is_folder:
        raise ImageDamaged("The layer's own top folder is no folder.", hint="Import the image again from where it came.")
    if not (is_folder and path.is_dir() and not path.is_symlink()):
        _clear(path)
    if member.kind is Kind.HARD_LINK:
        _link(member, path, target)
        return
    _make(reader, member, path)
    os.chown(path, member.uid, member.gid, follow_symlinks=False)
    if member.kind is not Kind.LINK:
        path.chmod(member.mode)
    for name, value in member.attributes.items():
        if not name.startswith(_OWN_ATTRIBUTES):  # a stranger's redirect would lead the overlay astray
            os.setxattr(path, name, value, follow_symlinks=False)
    os.utime(path, ns=(member.modified, member.modified), follow_symlinks=False)


def _link(member: Member, path: Path, target: Path) -> None:
    """Make a hard link to a name of this layer, which was unpacked before."""
    original = _inside(target, member.link)
    if not os.path.lexists(original) or stat.S_ISDIR(original.lstat().st_mode):
        raise ImageDamaged(
            f"The layer's entry {member.name!r} is a hard link to {member.link!r}, which is not an earlier file of it.", hint=_IMPORT_AGAIN
        )
    os.link(original, path, follow_symlinks=False)


def _make(reader: TarReader, member: Member, path: Path) -> None:
    if member.kind is Kind.FOLDER:
        path.mkdir(exist_ok=True)
    elif member.kind is Kind.LINK:
        path.symlink_to(member.link)
    elif member.kind is Kind.FIFO:
        os.mkfifo(path)
    elif member.kind in (Kind.CHARACTER_DEVICE, Kind.BLOCK_DEVICE):
        kind = stat.S_IFCHR if member.kind is Kind.CHARACTER_DEVICE else stat.S_IFBLK
        os.mknod(path, kind, os.makedev(*member.device))
    else:
        with path.open("xb") as file:
            while chunk := reader.read(_HOLE):
                stopping.check()
                if chunk.count(0) == len(chunk):
                    file.seek(len(chunk), os.SEEK_CUR)  # a hole stays one
                else:
                    file.write(chunk)
            file.truncate()
