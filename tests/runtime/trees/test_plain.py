"""Tests of the decompression of streams: each format, concatenated streams, damage, and streams
that need too much memory.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime import cancellation
from runtime.errors import Cancelled
from runtime.trees.plain import Packing, Plain, PlainDamaged, sniff

MIB = 1 << 20
PACK: dict[Packing, Callable[[bytes], bytes]] = {
    Packing.GZIP: gzip.compress,
    Packing.ZSTD: zstandard.ZstdCompressor(write_checksum=True).compress,
    Packing.XZ: lzma.compress,
    Packing.BZIP2: bz2.compress,
    Packing.NONE: bytes,
}
packings = pytest.mark.parametrize("packing", PACK)
compressed = pytest.mark.parametrize("packing", [packing for packing in PACK if packing])
TEXT = b"".join(b"%d\n" % number for number in range(60_000))


def read_all(packed: bytes, size: int = 1 << 16) -> bytes:
    plain = Plain(io.BytesIO(packed))
    return b"".join(iter(lambda: plain.read(size), b""))


@packings
def test_the_first_bytes_show_the_format(packing: Packing) -> None:
    plain = Plain(io.BytesIO(PACK[packing](TEXT)))
    assert plain.packing is packing
    assert b"".join(iter(lambda: plain.read(1000), b"")) == TEXT
    assert plain.packed_position == len(PACK[packing](TEXT))
    assert plain.read(1) == b""


@packings
@pytest.mark.parametrize("data", [b"", b"x"])
def test_very_short_content(packing: Packing, data: bytes) -> None:
    assert read_all(PACK[packing](data)) == data


@settings(max_examples=60, deadline=None)
@given(
    pieces=st.lists(st.binary(max_size=4000), min_size=1, max_size=4),
    packing=st.sampled_from(list(PACK)),
    size=st.integers(1, 5000),
)
def test_concatenated_streams_are_read_as_one(
    pieces: list[bytes], packing: Packing, size: int
) -> None:
    plain = Plain(io.BytesIO(b"".join(PACK[packing](piece) for piece in pieces)), packing)
    assert b"".join(iter(lambda: plain.read(size), b"")) == b"".join(pieces)


@pytest.mark.parametrize("packing", [Packing.GZIP, Packing.XZ, Packing.BZIP2])
def test_zeros_after_a_stream_are_padding_and_other_bytes_are_damage(packing: Packing) -> None:
    packed = PACK[packing](TEXT)
    assert read_all(packed + bytes(100_000)) == TEXT
    assert read_all(packed + bytes(4) + packed) == TEXT * 2
    with pytest.raises(PlainDamaged):
        read_all(packed + b"garbage" * 10)


def test_a_skippable_zstd_frame_is_skipped() -> None:
    skipped = b"\x5a\x2a\x4d\x18" + (3).to_bytes(4, "little") + b"abc"
    assert sniff(skipped) is Packing.ZSTD
    assert read_all(skipped + PACK[Packing.ZSTD](TEXT)) == TEXT


@compressed
def test_damage_always_raises_the_same_error(packing: Packing) -> None:
    packed = bytearray(PACK[packing](TEXT))
    packed[len(packed) // 2] ^= 0xFF
    packed[len(packed) // 3] ^= 0xFF
    with pytest.raises(PlainDamaged) as caught:
        read_all(bytes(packed))
    assert caught.value.what


@pytest.mark.parametrize("packing", [Packing.GZIP, Packing.XZ, Packing.BZIP2])
def test_a_missing_end_is_damage(packing: Packing) -> None:
    with pytest.raises(PlainDamaged, match="no end"):
        read_all(PACK[packing](TEXT)[:-9])


@settings(max_examples=200, deadline=None)
@given(
    packing=st.sampled_from([packing for packing in PACK if packing]),
    rest=st.binary(max_size=200),
    kept=st.integers(0, 60),
)
def test_arbitrary_bytes_raise_no_other_error(packing: Packing, rest: bytes, kept: int) -> None:
    try:
        Plain(io.BytesIO(PACK[packing](b"abc" * 50)[:kept] + rest), packing).read(1000)
    except PlainDamaged:
        pass


class Failing(io.RawIOBase):
    def read(self, size: int = -1, /) -> bytes:
        raise OSError(5, "Input/output error")


@packings
def test_a_disk_error_is_not_reported_as_damage(packing: Packing) -> None:
    with pytest.raises(OSError, match="Input/output"):
        Plain(Failing(), packing).read(10)


def test_a_zstd_window_of_more_than_128_mib_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=28)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    packed = packer.compress(TEXT) + packer.flush()
    with pytest.raises(PlainDamaged, match="memory"):
        read_all(packed)


def test_an_xz_dictionary_of_more_than_256_mib_is_refused() -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 4096}]
    packed = bytearray(lzma.compress(TEXT, filters=filters))
    block = packed[12 : 12 + (packed[12] + 1) * 4 - 4]
    # The only property of the filter: the size of its dictionary.
    place = block.index(b"\x21\x01") + 2
    block[place] = 38  # 2 GiB
    packed[12 : 12 + len(block)] = block
    packed[12 + len(block) : 16 + len(block)] = zlib.crc32(bytes(block)).to_bytes(4, "little")
    with pytest.raises(PlainDamaged, match=r"[Mm]emory"):
        read_all(bytes(packed))


@compressed
def test_a_bomb_needs_little_memory_with_any_read_size(packing: Packing) -> None:
    packed = PACK[packing](bytes(100 * MIB))
    tracemalloc.start()
    try:
        plain = Plain(io.BytesIO(packed))
        total = 0
        while data := plain.read(1 << 40):
            total += len(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert total == 100 * MIB
    assert peak < 24 * MIB


CHILD = """
import io, resource, sys
sys.path.insert(0, sys.argv[1])
from runtime.trees.plain import Plain
resource.setrlimit(resource.RLIMIT_AS, (256 << 20, 256 << 20))
plain = Plain(sys.stdin.buffer)
total = 0
while data := plain.read(1 << 20):
    total += len(data)
print(total)
"""


@compressed
def test_a_process_with_256_mib_reads_384_mib(packing: Packing) -> None:
    packer = {
        Packing.GZIP: lambda: zlib.compressobj(1, 8, 31),
        Packing.ZSTD: lambda: zstandard.ZstdCompressor().compressobj(),
        Packing.XZ: lambda: lzma.LZMACompressor(preset=0),
        Packing.BZIP2: lambda: bz2.BZ2Compressor(1),
    }[packing]()
    chunk = bytes(16 * MIB)
    packed = b"".join(packer.compress(chunk) for _ in range(24)) + packer.flush()
    root = Path(__file__).parents[3]
    ended = subprocess.run(
        [sys.executable, "-c", CHILD, root],
        input=packed,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert (ended.stdout.decode().strip(), ended.stderr.decode()) == (str(384 << 20), "")


def test_reading_ends_after_cancellation() -> None:
    plain = Plain(io.BytesIO(gzip.compress(b"") * 100_000))
    with cancellation.when(lambda: True), pytest.raises(Cancelled):
        plain.read(1)
