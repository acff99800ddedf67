"""Reader of compressed streams (gzip, zstd, xz, bzip2 or none), with limited memory.

The first bytes determine the compression.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from enum import StrEnum
from typing import BinaryIO, Protocol, cast

import zstandard

from runtime import cancellation

_WINDOW = 1 << 27  # zstd: limit of a stream's memory in bytes; the highest level needs exactly that
_XZ_MEMORY = 1 << 28  # xz -9 needs 65 MiB
_CHUNK = 1 << 16
_LARGEST_READ = 1 << 20
_NO_END = "the compressed stream has no end"


class Unreadable(Exception):
    """Untrusted bytes that cannot be read.

    `what` is a full sentence, or continues after a colon.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(what)


class PlainDamaged(Unreadable):
    """The compressed stream is damaged, ends too early or needs too much memory."""


class Source(Protocol):
    """The interface of a stream that a reader needs."""

    def read(self, size: int, /) -> bytes: ...


class Packing(StrEnum):
    """Compression formats, named by the extension of their files."""

    NONE = ""
    GZIP = "gz"
    ZSTD = "zst"
    XZ = "xz"
    BZIP2 = "bz2"


LONGEST_MAGIC = 6
_MAGIC = {
    b"\x1f\x8b": Packing.GZIP,
    b"\x28\xb5\x2f\xfd": Packing.ZSTD,
    b"\xfd7zXZ\x00": Packing.XZ,
    b"BZh": Packing.BZIP2,
}
_SKIPPABLE = b"\x2a\x4d\x18"  # bytes 1 to 3 of a skippable zstd frame (RFC 8878, 3.1.2)


def sniff(head: bytes) -> Packing:
    """Return the compression of a stream that starts with these bytes (LONGEST_MAGIC or more)."""
    if head[1:4] == _SKIPPABLE and head[0] >> 4 == 5:
        return Packing.ZSTD
    return next(
        (packing for magic, packing in _MAGIC.items() if head.startswith(magic)), Packing.NONE
    )


class Plain:
    """Reader of the uncompressed bytes of a stream. It does not close the stream.

    `packed_position` counts the compressed bytes that it has read. A zstd stream that is truncated
    between two blocks ends without an error. So its content must mark its own end.
    """

    def __init__(self, packed: Source, packing: Packing | None = None) -> None:
        """Read `packed`. If `packing` is None, the first bytes determine it."""
        self._packed = _Counted(packed)
        if packing is None:
            packing = sniff(self._packed.peek(LONGEST_MAGIC))
        self.packing = packing
        self._read = self._opened(packing)

    @property
    def packed_position(self) -> int:
        return self._packed.position

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes, at least one unless the stream is at its end."""
        size = min(size, _LARGEST_READ)
        if size <= 0:
            return b""
        try:
            return self._read(size)
        except (EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError) as error:
            raise PlainDamaged(str(error).rstrip(".")) from None
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # an error of the disk; bz2 reports damage as an OSError without a number
            raise PlainDamaged(str(error).rstrip(".")) from None

    def _opened(self, packing: Packing) -> Callable[[int], bytes]:
        if packing is Packing.GZIP:
            return _Gzip(self._packed).read
        if packing is Packing.XZ:
            return _Streams(
                self._packed,
                lambda: lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_XZ_MEMORY),
            ).read
        if packing is Packing.BZIP2:
            return _Streams(self._packed, bz2.BZ2Decompressor).read
        if packing is Packing.ZSTD:
            decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW)
            return decompressor.stream_reader(
                cast(BinaryIO, self._packed), read_across_frames=True, closefd=False
            ).read
        return self._packed.read


class _Counted:
    """The compressed stream, with a byte count and a look at its first bytes."""

    def __init__(self, stream: Source) -> None:
        self._stream, self._head, self.position = stream, b"", 0

    def peek(self, size: int) -> bytes:
        while len(self._head) < size and (data := self._stream.read(size - len(self._head))):
            self._head += data
        return self._head

    def read(self, size: int = -1, /) -> bytes:
        cancellation.check()
        if size < 0:
            size = _CHUNK
        data = self._head[:size] or self._stream.read(size)
        self._head = self._head[size:]
        self.position += len(data)
        return data


class _Gzip:
    """Reader of consecutive gzip members. gzip.GzipFile makes a Python call for every 8 KiB."""

    def __init__(self, packed: _Counted) -> None:
        self._packed, self._rest, self._member = (
            packed,
            b"",
            zlib.decompressobj(zlib.MAX_WBITS | 16),
        )

    def read(self, size: int) -> bytes:
        while True:
            if self._member.eof:
                self._rest = _after_padding(self._member.unused_data, self._packed)
                if not self._rest:
                    return b""
                self._member = zlib.decompressobj(zlib.MAX_WBITS | 16)
            elif not self._rest:
                self._rest = self._packed.read(_CHUNK)
                if not self._rest:
                    raise EOFError(_NO_END)
            data = self._member.decompress(self._rest, size)
            self._rest = self._member.unconsumed_tail
            if data:
                return data


class _Decompressor(Protocol):
    """The common interface of lzma and bz2."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Streams:
    """Reader of consecutive streams of xz or bzip2.

    The library's file classes cannot limit memory.
    """

    def __init__(self, packed: _Counted, fresh: Callable[[], _Decompressor]) -> None:
        self._packed, self._fresh, self._decompressor = packed, fresh, fresh()

    def read(self, size: int) -> bytes:
        while True:
            rest = b""
            if self._decompressor.eof:
                rest = _after_padding(self._decompressor.unused_data, self._packed)
                if not rest:
                    return b""
                self._decompressor = self._fresh()
            elif self._decompressor.needs_input:
                rest = self._packed.read(_CHUNK)
                if not rest:
                    raise EOFError(_NO_END)
            if data := self._decompressor.decompress(rest, size):
                return data


def _after_padding(rest: bytes, packed: _Counted) -> bytes:
    """Skip the zeros after a stream. Return the start of the next stream, or b"" at the end."""
    while not (rest := rest.lstrip(b"\0")):
        rest = packed.read(_CHUNK)
        if not rest:
            return b""
    return rest
