"""Plain bytes out of a compressed archive: a reader that counts, and that refuses what unpacks out of all proportion."""

from __future__ import annotations

import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO, cast

import zstandard

from runtime.errors import BadArchive

_WINDOW = 1 << 27  # zstd: memory an archive may ask for, bytes
_XZ_MEMORY = 1 << 28
_CHUNK = 1 << 16
_FREE = 64 << 20  # up to here no proportion is too large: a small file of zeros is no bomb
_RATIO = 250


class Plain(io.RawIOBase):
    """What the archive unpacks to, as it is read; `position` counts bytes, `tail` keeps the last block."""

    def __init__(self, source: IO[bytes], packed: BinaryIO, limit: int) -> None:
        self._source, self._packed, self._limit = source, packed, limit
        self.position, self.tail = 0, b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        try:
            data = self._source.read(size if size >= 0 else _CHUNK)
        except (EOFError, OSError, zlib.error, lzma.LZMAError, zstandard.ZstdError) as error:
            raise BadArchive(
                f"The archive ends too early or is damaged: {str(error).rstrip('.')}.", hint="Make it again and upload it again."
            ) from None
        self.position += len(data)
        if data:
            self.tail = (self.tail + data)[-1024:]
        if self.position > self._limit:
            raise BadArchive(too_large(self._limit), hint="Leave out what the app does not need: data, media, build output.")
        if self.position > max(_FREE, _RATIO * self._packed.tell()):
            raise BadArchive(
                f"The archive unpacks to more than {_RATIO} times its own size, as only a decompression bomb does.",
                hint="Make it again from the app's own files.",
            )
        return data


def too_large(limit: int) -> str:
    return f"The archive unpacks to more than {limit >> 20} MiB, the most a source may have."


@contextmanager
def plain(path: Path, packing: str, limit: int) -> Iterator[Plain]:
    """Open a file packed as `gz`, `zst`, `xz` or not at all (``""``); reading past `limit` bytes raises BadArchive."""
    with path.open("rb") as packed:
        if packing == "gz":
            source: IO[bytes] = cast(IO[bytes], gzip.GzipFile(fileobj=packed, mode="rb"))
        elif packing == "zst":
            reader = zstandard.ZstdDecompressor(max_window_size=_WINDOW).stream_reader(packed, read_across_frames=True, closefd=False)
            source = cast(IO[bytes], reader)  # it takes a missing end for the end: the tar's own end mark tells
        elif packing == "xz":
            source = cast(IO[bytes], _Xz(packed))
        else:
            source = packed
        yield Plain(source, packed, limit)


class _Xz:
    """lzma.LZMAFile with a limit on the memory a stream may ask for, which that class does not offer."""

    def __init__(self, packed: BinaryIO) -> None:
        self._packed, self._decompressor = packed, self._fresh()

    def read(self, size: int) -> bytes:
        while True:
            if self._decompressor.eof:
                rest = self._decompressor.unused_data or self._packed.read(_CHUNK)
                if not rest.strip(b"\0"):  # stream padding
                    return b""
                self._decompressor = self._fresh()
            elif self._decompressor.needs_input:
                rest = self._packed.read(_CHUNK)
                if not rest:
                    raise EOFError("the compressed stream has no end")
            else:
                rest = b""
            if data := self._decompressor.decompress(rest, size):
                return data

    @staticmethod
    def _fresh() -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)
