"""Functions that make tar archives byte by byte, and read them."""

from __future__ import annotations

import io

from runtime.trees.tar import TarReader
from runtime.trees.tar_entries import Member, TarLimits

END = bytes(1024)
MIB = 1 << 20


def header(
    name: bytes = b"a",
    kind: bytes = b"0",
    size: int | bytes = 0,
    *,
    link: bytes = b"",
    magic: bytes = b"ustar\x0000",
    mode: bytes = b"0000644\0",
    uid: bytes = b"0000001\0",
    mtime: bytes = b"00000000005\0",
    rest: bytes = b"",
) -> bytes:
    written = size if isinstance(size, bytes) else b"%011o\0" % size
    block = bytearray(512)
    block[0:100] = name.ljust(100, b"\0")
    block[100:108], block[108:116], block[116:124], block[124:136], block[136:148] = (
        mode,
        uid,
        b"0000002\0",
        written,
        mtime,
    )
    block[156:157], block[157:257], block[257:265] = kind, link.ljust(100, b"\0"), magic
    block[329:345] = b"0000000\0" * 2
    if rest:
        block[512 - len(rest) :] = rest
    return signed(block)


def signed(block: bytearray) -> bytes:
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def record(key: bytes, value: bytes) -> bytes:
    length = len(key) + len(value) + 3
    while len(b"%d" % length) + len(key) + len(value) + 3 != length:
        length = len(b"%d" % length) + len(key) + len(value) + 3
    return b"%d %s=%s\n" % (length, key, value)


def pax(*records: tuple[bytes, bytes], kind: bytes = b"x") -> bytes:
    data = b"".join(record(*item) for item in records)
    return header(b"pax", kind, len(data)) + padded(data)


def long(kind: bytes, value: bytes) -> bytes:
    return header(b"././@LongLink", kind, len(value) + 1, magic=b"ustar  \0") + padded(
        value + b"\0"
    )


def members(data: bytes, limits: TarLimits | None = None) -> list[Member]:
    return list(TarReader(io.BytesIO(data), limits=limits))


def contents(data: bytes) -> list[tuple[Member, bytes]]:
    reader = TarReader(io.BytesIO(data))
    return [(member, b"".join(iter(lambda: reader.read(100), b""))) for member in reader]


def only(data: bytes) -> Member:
    [member] = members(data + END)
    return member


def sparse_1_0(spans: list[tuple[int, int]], data: bytes, size: int) -> bytes:
    numbers = [len(spans), *(number for span in spans for number in span)]
    packed = padded(b"".join(b"%d\n" % number for number in numbers)) + data
    named = pax(
        (b"GNU.sparse.major", b"1"),
        (b"GNU.sparse.minor", b"0"),
        (b"GNU.sparse.name", b"real"),
        (b"GNU.sparse.realsize", b"%d" % size),
    )
    return named + header(b"GNUSparseFile.1/real", size=len(packed)) + padded(packed)
