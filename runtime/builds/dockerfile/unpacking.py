"""ADD of a local tar: unpack it into the root as chroot would, so that no name or link leads
out.
"""

from __future__ import annotations

import errno

from runtime.builds.dockerfile.copying import Copying
from runtime.builds.dockerfile.tree import Tree
from runtime.trees.copying import is_kept
from runtime.trees.plain import Plain, Unreadable
from runtime.trees.tar import TarReader
from runtime.trees.tar_entries import Kind, Member, TarLimits, TarTooLarge

_NOBODY = 65_535  # the last id of a team: a higher id in an archive becomes this one
_LIMITS = TarLimits(entries=500_000, content_bytes=8 << 30)
_OF_THE_ARCHIVE = frozenset(  # errors that the names, links or times of an entry cause
    {
        errno.ENOENT,
        errno.EEXIST,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.EINVAL,
        errno.EMLINK,
    }
)


def is_archive(tree: Tree, place: str) -> bool:
    """Return whether a file is a tar, plain or packed by gzip, zstd, xz or bzip2.

    Its first header decides, as in Docker, and not its name.
    """
    if not tree.root.is_file(place):
        return False
    with tree.root.open_file(place) as file:
        try:
            return next(TarReader(Plain(file), limits=_LIMITS), None) is not None
        except TarTooLarge:
            return True  # `unpack_into` reports the fault
        except Unreadable:
            return False


def unpack_into(tree: Tree, archive: str, copying: Copying, destination: str) -> None:
    """Unpack below `destination` with the owners and times of the archive, unless --chown sets the
    owner.
    """
    base = copying.folder(destination)
    name = archive.rpartition("/")[2]
    with tree.root.open_file(archive) as file:
        try:
            reader = TarReader(Plain(file), limits=_LIMITS)
            for member in reader:
                _unpack(reader, member, copying, base)
        except TarTooLarge as error:
            raise copying.of.wrong(f"{name} is too large to unpack. {error}") from None
        except Unreadable as error:
            raise copying.of.wrong(f"The archive {name} is damaged: {error}.") from None


def _unpack(reader: TarReader, member: Member, copying: Copying, base: str) -> None:
    parts = [part for part in member.name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise copying.of.wrong(
            f"The archive contains the name {member.name!r}, which leads outside the archive."
        )
    if not parts:
        return  # the destination itself, which Docker leaves unchanged for any such entry
    if member.kind in (Kind.CHARACTER_DEVICE, Kind.BLOCK_DEVICE, Kind.OTHER):
        raise copying.of.wrong(
            f"{member.name!r} of the archive is a {member.kind}, which a build may not create.",
            hint="Remove it.",
        )
    copying.room.take(member.size)
    try:
        _make(reader, member, copying, base, parts)
    except OSError as error:
        if error.errno not in _OF_THE_ARCHIVE:
            raise
        raise copying.of.wrong(
            f"{member.name!r} of the archive cannot be unpacked: {error.strerror}."
        ) from None


def _make(reader: TarReader, member: Member, copying: Copying, base: str, parts: list[str]) -> None:
    name = "/".join([base, *parts])
    root, folder = copying.root.root, copying.root
    if member.kind is Kind.FOLDER and folder.is_folder(folder.place(name)):
        place = folder.place(name)
    else:
        parent = copying.folder("/".join([base, *parts[:-1]]))
        place = f"{parent}/{parts[-1]}".lstrip("/")
        if folder.status(place) is not None and not folder.is_folder(place):
            root.remove(place)
    if member.kind is Kind.FOLDER:
        if not folder.is_folder(place):
            root.make_folder(place)
    elif folder.is_folder(place):
        raise copying.of.wrong(f"{member.name!r} of the archive would replace a folder.")
    elif member.kind is Kind.LINK:
        root.make_link(place, member.link)
    elif member.kind is Kind.HARD_LINK:
        _link(member, copying, base, place)
        return
    elif member.kind is Kind.FIFO:
        root.make_pipe(place)
    else:
        with root.create_file(place, 0o600) as file:
            reader.copy_to(file.write)
    uid, gid = (copying.owner.uid, copying.owner.gid) if copying.owner else (member.uid, member.gid)
    root.set_owner(place, min(uid, _NOBODY), min(gid, _NOBODY))
    root.set_mode(place, copying.mode_for(member.mode, is_folder=member.kind is Kind.FOLDER))
    for key, value in member.attributes.items():
        if is_kept(key):
            root.set_attribute(place, key, value)
    root.set_times(place, member.modified, member.modified)


def _link(member: Member, copying: Copying, base: str, place: str) -> None:
    original = copying.root.place(f"{base}/{member.link}", follow=False)
    if copying.root.status(original) is None or copying.root.is_folder(original):
        raise copying.of.wrong(
            f"{member.name!r} of the archive is a hard link to {member.link!r}, which is not an"
            " earlier file of it."
        )
    copying.root.root.make_hard_link(place, original)
