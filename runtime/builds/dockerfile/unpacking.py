"""ADD of a local tar: unpacked into the root as chroot would, so that no name or link of it leads out."""

from __future__ import annotations

import lzma
import os
import stat
import tarfile
import zlib
from pathlib import Path

from runtime import stopping
from runtime.builds.dockerfile.copying import Copying
from runtime.builds.dockerfile.tree import is_folder

_MAX_ENTRIES = 500_000
_MAX_BYTES = 8 << 30
_MAGIC = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00")


def is_archive(path: Path) -> bool:
    """A tar, plain or packed by gzip, bzip2 or xz: by its bytes, as Docker has it, not by its name."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(512)
    if head[257:262] != b"ustar" and not head.startswith(_MAGIC):
        return False
    try:
        with tarfile.open(path, "r:*") as tar:
            tar.next()
    except (tarfile.TarError, OSError, EOFError, lzma.LZMAError, zlib.error, ValueError):
        return False
    return True


def unpack_into(archive: Path, copying: Copying, destination: str) -> None:
    """Unpack below `destination`, owners and times as the archive has them, unless --chown says otherwise."""
    folder = copying.folder(destination)
    base = copying.root.relative(folder)
    left = _MAX_BYTES
    try:
        with tarfile.open(archive, "r:*", errors="surrogateescape") as tar:
            for number, member in enumerate(tar):
                stopping.check()
                left -= member.size
                if number > _MAX_ENTRIES or left < 0:
                    raise copying.of.wrong(f"{archive.name} holds too much to unpack.")
                _unpack(tar, member, copying, base)
    except (tarfile.TarError, EOFError, lzma.LZMAError, zlib.error, ValueError, UnicodeError) as error:
        raise copying.of.wrong(f"The archive {archive.name} is damaged: {error}.") from None


def _unpack(tar: tarfile.TarFile, member: tarfile.TarInfo, copying: Copying, base: str) -> None:
    parts = [part for part in member.name.split("/") if part not in ("", ".")]
    if ".." in parts or "\0" in member.name:
        raise copying.of.wrong(f"The archive holds the name {member.name!r}, which leads out of it.")
    name = "/".join([base, *parts])
    if not parts or (member.isdir() and is_folder(copying.root.place(name))):
        place = copying.root.place(name)
    else:
        parent = copying.folder("/".join([base, *parts[:-1]]))
        place = parent / parts[-1]
        if os.path.lexists(place) and not is_folder(place):
            place.unlink()
    if member.isdir():
        place.mkdir(exist_ok=True)
    elif is_folder(place):
        raise copying.of.wrong(f"{member.name!r} of the archive would replace a folder.")
    elif member.issym():
        place.symlink_to(member.linkname)
    elif member.islnk():
        os.link(copying.root.place(f"{base}/{member.linkname}", follow=False), place, follow_symlinks=False)
        return
    elif member.isfifo():
        os.mkfifo(place)
    elif member.isdev():
        os.mknod(place, (stat.S_IFCHR if member.ischr() else stat.S_IFBLK) | 0o600, os.makedev(member.devmajor, member.devminor))
    else:
        content = tar.extractfile(member)
        with place.open("xb") as file:
            while content is not None and (chunk := content.read(1 << 20)):
                stopping.check()
                file.write(chunk)
    uid, gid = (copying.owner.uid, copying.owner.gid) if copying.owner else (member.uid, member.gid)
    os.chown(place, uid, gid, follow_symlinks=False)
    if not member.issym():
        place.chmod(copying.chmod if copying.chmod is not None else stat.S_IMODE(member.mode))
    os.utime(place, (member.mtime, member.mtime), follow_symlinks=False)
