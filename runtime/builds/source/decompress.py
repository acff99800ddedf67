"""Reader of a compressed archive that counts its plain bytes and refuses decompression bombs."""

from __future__ import annotations

import io
from typing import BinaryIO

from runtime.errors import BadArchive
from runtime.trees import plain as trees
from runtime.trees.plain import Packing, PlainDamaged

_CHUNK = 1 << 16
_FREE = 64 << 20  # no ratio is checked up to this size: a small file of zeros is harmless
_RATIO = 250


class Plain(io.RawIOBase):
    """The unpacked bytes of an archive. `position` counts bytes, `tail` keeps the last block."""

    def __init__(self, source: trees.Plain, limit: int) -> None:
        self._source, self._limit = source, limit
        self.position, self.tail = 0, b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        try:
            data = self._source.read(size if size >= 0 else _CHUNK)
        except PlainDamaged as error:
            raise BadArchive(
                f"The archive ends too early or is damaged: {str(error).rstrip('.')}.",
                hint="Pack it again and upload it again.",
            ) from None
        self.position += len(data)
        if data:
            self.tail = (self.tail + data)[-1024:]
        if self.position > self._limit:
            raise BadArchive(
                too_large(self._limit),
                hint="Leave out files that the app does not need: data, media, build output.",
            )
        if self.position > max(_FREE, _RATIO * self._source.packed_position):
            raise BadArchive(
                f"The archive unpacks to more than {_RATIO} times its own size, like a"
                " decompression bomb.",
                hint="Pack it again from the app's own files.",
            )
        return data


def too_large(limit: int) -> str:
    return f"The archive unpacks to more than {limit >> 20} MiB, the most that a source may have."


def plain(packed: BinaryIO, packing: str, limit: int) -> Plain:
    """Return the plain bytes of a file packed as `gz`, `zst`, `xz` or not at all (``""``).

    Reading past `limit` bytes raises BadArchive.
    """
    return Plain(trees.Plain(packed, Packing(packing)), limit)
