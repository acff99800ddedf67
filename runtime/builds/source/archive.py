"""Unpack a source without trusting it: names, links, modes, sizes and counts are checked before
anything is written.

The content decides the type of an archive. A name with another type is an error, since one of them
is wrong. The unpacked tree holds folders, regular files and links that stay inside. All are owned
by root. They have the modes of the archive, without setuid and sticky bits. Nothing is ever written
through a link. Memory use does not grow with the sizes inside the archive. Runs in a confined
helper.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

from runtime.builds.source.archive_kind import MAX_BYTES, kind_of
from runtime.builds.source.left_out import sentence
from runtime.builds.source.tar_archive import unpack_tar
from runtime.builds.source.unpacked_tree import UnpackedTree
from runtime.builds.source.zip_archive import unpack_zip
from runtime.confined.registry import confined
from runtime.errors import BadArchive
from runtime.trees.folder import Folder

MAX_ENTRIES = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpacked:
    """The result of unpacking."""

    kind: str  # zip, tar, tar.gz, tar.zst, tar.xz
    files: int
    size: int  # bytes
    unwrapped: str  # the single top folder that was removed, or ""
    left_out: str  # for the log: the folders that were left out, or ""


@confined
def unpack(
    archive: BinaryIO,
    filename: str,
    target: Folder,
    max_bytes: int = MAX_BYTES,
    max_entries: int = MAX_ENTRIES,
) -> Unpacked:
    """Unpack `archive`, uploaded as `filename`, into the empty folder `target`.

    BadArchive names the fault. `target` may then hold a part; nothing outside of it was changed.
    """
    kind = kind_of(archive, filename)
    tree = UnpackedTree(target, max_bytes=max_bytes, max_entries=max_entries)
    if kind == "zip":
        unpack_zip(archive, tree)
    else:
        unpack_tar(archive, kind, tree)
    tree.remove_environments()
    if not tree.files:
        raise BadArchive(
            f"The archive {filename} has no files.",
            hint="Pack the folder that has the app's files.",
        )
    tree.set_folder_modes()
    unwrapped = _unwrap(target)
    tree.check_links(unwrapped)
    tree.check_pointers(unwrapped)
    return Unpacked(
        kind=kind,
        files=tree.files,
        size=tree.size,
        unwrapped=unwrapped,
        left_out=sentence(tree.left_out),
    )


def _unwrap(target: Folder) -> str:
    """If everything is in one folder, make that folder the source. Return its name, or ""."""
    names = target.names()
    if len(names) != 1 or not target.is_folder(names[0]):
        return ""
    inner = target.names(names[0])
    aside = next(
        name
        for name in (f".unwrapped{number}" for number in range(len(inner) + 1))
        if name not in inner
    )
    target.rename(names[0], aside)
    for name in inner:
        target.rename(f"{aside}/{name}", name)
    target.remove(aside)
    return names[0]
