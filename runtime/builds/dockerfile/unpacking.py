"""ADD of a local tar: unpacked into the root as chroot would, so that no name or link of it leads out."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from runtime import stopping
from runtime.builds.dockerfile.copying import Copying
from runtime.builds.dockerfile.tree import is_folder
from runtime.trees.plain import Plain, Unreadable
from runtime.trees.tar import Kind, Member, TarLimits, TarReader, TarTooLarge

_LIMITS = TarLimits(entries=500_000, content_bytes=8 << 30)
_OF_THE_ARCHIVE = frozenset(  # errors that the names, links or times of an entry cause
    {errno.ENOENT, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL, errno.EMLINK}
)


def is_archive(path: Path) -> bool:
    """Whether a file is a tar, plain or packed by gzip, zstd, xz or bzip2: by its first header, as Docker has it, not by its name."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        try:
            return next(TarReader(Plain(file), limits=_LIMITS), None) is not None
        except TarTooLarge:
            return True  # what is wrong with it, unpacking tells
        except Unreadable:
            return False


def unpack_into(archive: Path, copying: Copying, destination: str) -> None:
    """Unpack below `destination`, owners and times as the archive has them, unless --chown says otherwise."""
    folder = copying.folder(destination)
    base = copying.root.relative(folder)
    with archive.open("rb") as file:
        try:
            reader = TarReader(Plain(file), limits=_LIMITS)
            for member in reader:
                _unpack(reader, member, copying, base)
        except TarTooLarge as error:
            raise copying.of.wrong(f"{archive.name} holds too much to unpack. {error}") from None
        except Unreadable as error:
            raise copying.of.wrong(f"The archive {archive.name} is damaged: {error}.") from None


def _unpack(reader: TarReader, member: Member, copying: Copying, base: str) -> None:
    parts = [part for part in member.name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise copying.of.wrong(f"The archive holds the name {member.name!r}, which leads out of it.")
    if not parts:
        return  # the destination itself, which Docker leaves as it is, whatever the entry says
    if member.kind in (Kind.CHARACTER_DEVICE, Kind.BLOCK_DEVICE, Kind.OTHER):
        raise copying.of.wrong(f"{member.name!r} of the archive is a {member.kind}, which a build may not create.", hint="Leave it out.")
    try:
        _make(reader, member, copying, base, parts)
    except OSError as error:
        if error.errno not in _OF_THE_ARCHIVE:
            raise
        raise copying.of.wrong(f"{member.name!r} of the archive cannot be unpacked: {error.strerror}.") from None


def _make(reader: TarReader, member: Member, copying: Copying, base: str, parts: list[str]) -> None:
    name = "/".join([base, *parts])
    if member.kind is Kind.FOLDER and is_folder(copying.root.place(name)):
        place = copying.root.place(name)
    else:
        parent = copying.folder("/".join([base, *parts[:-1]]))
        place = parent / parts[-1]
        if os.path.lexists(place) and not is_folder(place):
            place.unlink()
    if member.kind is Kind.FOLDER:
        place.mkdir(exist_ok=True)
    elif is_folder(place):
        raise copying.of.wrong(f"{member.name!r} of the archive would replace a folder.")
    elif member.kind is Kind.LINK:
        place.symlink_to(member.link)
    elif member.kind is Kind.HARD_LINK:
        _link(member, copying, base, place)
        return
    elif member.kind is Kind.FIFO:
        os.mkfifo(place)
    else:
        with place.open("xb") as file:
            while chunk := reader.read(1 << 20):
                stopping.check()
                file.write(chunk)
    uid, gid = (copying.owner.uid, copying.owner.gid) if copying.owner else (member.uid, member.gid)
    os.chown(place, uid, gid, follow_symlinks=False)
    if member.kind is not Kind.LINK:
        place.chmod(copying.chmod if copying.chmod is not None else member.mode)
    os.utime(place, ns=(member.modified, member.modified), follow_symlinks=False)


def _link(member: Member, copying: Copying, base: str, place: Path) -> None:
    original = copying.root.place(f"{base}/{member.link}", follow=False)
    if not os.path.lexists(original) or is_folder(original):
        raise copying.of.wrong(f"{member.name!r} of the archive is a hard link to {member.link!r}, which is not an earlier file of it.")
    os.link(original, place, follow_symlinks=False)
