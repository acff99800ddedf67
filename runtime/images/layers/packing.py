"""The packing and unpacking of layers, in a confined helper because the files are untrusted."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from typing import BinaryIO

from runtime.confined.registry import confined
from runtime.contract.quantities import Bytes
from runtime.errors import ImageDamaged
from runtime.images.layers.compression import (
    Compression,
    Hashing,
    HashingReader,
    compressing,
    plain_of,
)
from runtime.images.layers.layer import normalise_opaque, unpack_tar, write_tar
from runtime.trees.copying import copy_tree
from runtime.trees.folder import Folder
from runtime.trees.plain import Unreadable
from runtime.trees.walk import walk

FEW_FILES = 64  # up to this number each file is synced; above it, the whole file system
_READ = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """The facts about a layer that was written."""

    digest: str  # of the blob
    size: int
    diff_id: str  # of the tar in it
    length: int
    synced: bool  # the tree is synced to disk


@dataclass(frozen=True, slots=True, kw_only=True)
class UnpackedLayer:
    """The facts about a layer that was unpacked."""

    diff_id: str
    length: int  # bytes of its tar
    fingerprint: str  # digest of the tar that we would write of the tree
    synced: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """The digest and length of the tar in a blob."""

    diff_id: str
    length: int


@confined
def copy(source: Folder, target: Folder) -> None:
    """Copy a tree into an empty folder."""
    copy_tree(source, target)


@confined
def pack(top: Folder, blob: BinaryIO, compression: str) -> Packed:
    """Write an overlay's upper to `blob` as a compressed tar.

    The tree becomes an unpacked layer.
    """
    normalise_opaque(top)
    written = Hashing(blob)
    with compressing(written, Compression(compression)) as compressed:
        tar = Hashing(compressed)
        write_tar(top, tar)
    blob.flush()
    return Packed(
        digest=written.digest(),
        size=written.size,
        diff_id=tar.digest(),
        length=tar.size,
        synced=_sync_few(top),
    )


@confined
def unpack(blob: BinaryIO, top: Folder) -> UnpackedLayer:
    """Unpack a layer's blob into an empty folder. Raises ImageDamaged if it cannot be read."""
    tar = HashingReader(plain_of(blob))
    try:
        unpack_tar(tar, top)
        tar.drain()
    except Unreadable as error:
        raise ImageDamaged(f"it cannot be read: {error.what.rstrip('.')}") from None
    return UnpackedLayer(
        diff_id=tar.digest(), length=tar.size, fingerprint=fingerprint(top), synced=_sync_few(top)
    )


@confined
def fingerprint(top: Folder) -> str:
    """Return the digest of the tar that we would write of a tree.

    For our own layers it is the diff ID.
    """
    tar = Hashing()
    write_tar(top, tar)
    return tar.digest()


@confined
def read(blob: BinaryIO, most: int) -> Content:
    """Read the tar in a blob, and return its digest and length.

    Raises ImageDamaged if it cannot be read or has more than `most` bytes.
    """
    hashed, length, plain = hashlib.sha256(), 0, plain_of(blob)
    try:
        while data := plain.read(_READ):
            hashed.update(data)
            length += len(data)
            if length > most:
                raise ImageDamaged(
                    f"The image's unpacked layers are larger than the remaining {Bytes(most)}.",
                    hint="Make the image smaller, or ask an admin.",
                )
    except Unreadable as error:
        raise ImageDamaged(f"it cannot be read: {error.what.rstrip('.')}") from None
    return Content(diff_id=f"sha256:{hashed.hexdigest()}", length=length)


@confined
def recompress(blob: BinaryIO, into: BinaryIO, compression: str) -> str:
    """Write the tar in a blob with another compression. Return the digest of what was written.

    Raises ImageDamaged if it cannot be read.
    """
    written, plain = Hashing(into), plain_of(blob)
    try:
        with compressing(written, Compression(compression)) as compressed:
            while data := plain.read(_READ):
                compressed.write(data)
    except Unreadable as error:
        raise ImageDamaged(f"it cannot be read: {error.what.rstrip('.')}") from None
    into.flush()
    return written.digest()


def _sync_few(top: Folder) -> bool:
    """Sync the files of a small tree. Return False, without syncing, if there are too many."""
    names = []
    for found in walk(top):
        if stat.S_ISREG(found.status.st_mode):
            names.append(found.path)
            if len(names) > FEW_FILES:
                return False
    for name in names:
        with top.open_file(name) as file:
            os.fsync(file.fileno())
    return True
