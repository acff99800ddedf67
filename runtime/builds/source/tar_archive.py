"""Read the entries of a tar archive, compressed or not."""

from __future__ import annotations

from typing import BinaryIO

from runtime.builds.source.decompress import Plain, plain
from runtime.builds.source.left_out import MOST_BYTES
from runtime.builds.source.unpacked_tree import AGAIN, CHUNK, Entry, UnpackedTree
from runtime.errors import BadArchive
from runtime.trees.tar import TarReader
from runtime.trees.tar_entries import Kind, Member, TarDamaged, TarLimits, TarTooLarge

_TAR_LIMITS = TarLimits(
    name_bytes=1 << 20, part_bytes=1 << 20, check_owners=False
)  # names are checked here, owners not used


def unpack_tar(archive: BinaryIO, kind: str, tree: UnpackedTree) -> None:
    packing = kind.removeprefix("tar").removeprefix(".")
    # headers and padding are not content: each entry may add two blocks and an extended header.
    # Folders that are left out are read over.
    stream = plain(archive, packing, tree.max_bytes + tree.max_entries * 4096 + MOST_BYTES)
    reader = TarReader(stream, limits=_TAR_LIMITS)
    try:
        for member in reader:
            tree.add(_tar_entry(reader, member))
    except TarDamaged as error:
        raise BadArchive(
            f"The tar archive ends too early or is damaged: {error}.", hint=AGAIN
        ) from None
    except TarTooLarge as error:
        raise BadArchive(error.what, hint=AGAIN) from None
    _read_to_end(stream)


def _tar_entry(reader: TarReader, member: Member) -> Entry:
    entry = Entry(
        name=member.name, mode=member.mode, is_folder=member.kind is Kind.FOLDER, size=member.size
    )
    if member.kind is Kind.LINK:
        entry.symlink = member.link
    elif member.kind is Kind.HARD_LINK:
        entry.hard_link = member.link
    elif member.sparse:
        entry.strange = "a sparse file"
    elif member.kind is Kind.FILE:
        entry.content = reader
    elif member.kind is not Kind.FOLDER:
        entry.strange = "a device, pipe or another special file"
    return entry


def _read_to_end(stream: Plain) -> None:
    """Read the padding.

    The last block of a complete tar is zeros (POSIX pax, "ustar Interchange Format").
    """
    while stream.read(CHUNK):
        pass
    if stream.tail[-512:].strip(b"\0") or len(stream.tail) < 512:
        raise BadArchive(
            "The tar archive ends too early: its end mark is missing.", hint="Upload it again."
        )
