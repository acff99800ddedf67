"""Layers' compression: zstd, gzip or none in, told by their first bytes; zstd out, or gzip where an old registry wants it."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import BinaryIO, Protocol, cast

import zstandard

from runtime.images.digest import Digest
from runtime.trees.plain import LONGEST_MAGIC, Packing, Plain, Source, sniff

_LEVEL = 3  # KERNEL.md: -19 takes sixty times as long for 8 % less
_GZIP_LEVEL = 6


class Compression(StrEnum):
    """As layers' media types say it."""

    ZSTD = "zstd"
    GZIP = "gzip"


class Sink(Protocol):
    def write(self, data: bytes, /) -> object: ...


class Hashing:
    """Passes writes on, and knows their digest and length."""

    def __init__(self, sink: Sink | None = None) -> None:
        self._sink, self._hashed, self.size = sink, hashlib.sha256(), 0

    def write(self, data: bytes, /) -> int:
        if self._sink is not None:
            self._sink.write(data)
        self._hashed.update(data)
        self.size += len(data)
        return len(data)

    def flush(self) -> None:
        """For those who ask; whoever owns the file below syncs it."""

    def digest(self) -> Digest:
        return Digest(f"sha256:{self._hashed.hexdigest()}")


class HashingReader:
    """Reads from a stream, and knows the digest and length of what was read."""

    def __init__(self, source: Source) -> None:
        self._source, self._hashed, self.size = source, hashlib.sha256(), 0

    def read(self, size: int) -> bytes:
        data = self._source.read(size)
        self._hashed.update(data)
        self.size += len(data)
        return data

    def drain(self) -> None:
        while self.read(1 << 20):
            pass

    def digest(self) -> Digest:
        return Digest(f"sha256:{self._hashed.hexdigest()}")


@contextmanager
def compressing(sink: Sink, compression: Compression) -> Iterator[Sink]:
    """A sink whose bytes end compressed in `sink`; the same bytes in give the same bytes out."""
    if compression is Compression.ZSTD:
        compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)
        with compressor.stream_writer(cast(BinaryIO, sink), closefd=False) as compressed:
            yield compressed
    else:
        with gzip.GzipFile(filename="", mode="wb", compresslevel=_GZIP_LEVEL, fileobj=cast(BinaryIO, sink), mtime=0) as compressed:
            yield compressed


def plain_of(blob: BinaryIO) -> Plain:
    """The tar in a blob, whatever its compression of those that layers have. Unreadable is raised while reading what is damaged."""
    packing = sniff(blob.read(LONGEST_MAGIC))
    blob.seek(0)
    return Plain(blob, packing if packing in (Packing.ZSTD, Packing.GZIP) else Packing.NONE)
