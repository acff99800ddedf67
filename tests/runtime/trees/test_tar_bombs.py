"""Tests with hostile archives. All are generated: none is ever complete in memory or on disk."""

from __future__ import annotations

import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.trees.plain import Unreadable
from runtime.trees.tar import TarReader
from tests.runtime.trees.tars import END, MIB, header, padded, pax, record


class Generated:
    """Stream that consists of generated pieces."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest = pieces, b""

    def read(self, size: int, /) -> bytes:
        if not self._rest:
            self._rest = next(self._pieces, b"")
        data, self._rest = self._rest[:size], self._rest[size:]
        return data


def piecewise(head: bytes, filling: bytes, count: int, tail: bytes = END) -> Generated:
    def pieces() -> Iterator[bytes]:
        if head:
            yield head
        for _ in range(count):
            yield filling
        yield tail

    return Generated(pieces())


HUGE = 800 * MIB
BOMBS = {
    "pax": lambda: piecewise(header(kind=b"x", size=HUGE) + b"%d path=" % HUGE, b"a" * MIB, 800),
    "global": lambda: piecewise(header(kind=b"g", size=HUGE) + b"%d path=" % HUGE, b"a" * MIB, 800),
    "solaris": lambda: piecewise(header(kind=b"X", size=HUGE), b"a" * MIB, 800),
    "long name": lambda: piecewise(header(kind=b"L", size=HUGE), b"a" * MIB, 800),
    "long link": lambda: piecewise(header(kind=b"K", size=HUGE), b"a" * MIB, 800),
    "base-256 long name": lambda: piecewise(
        header(kind=b"L", size=b"\x80" + (1 << 60).to_bytes(11, "big")), b"a" * MIB, 800
    ),
    "chain of long names": lambda: piecewise(b"", header(kind=b"L", size=MIB) + b"a" * MIB, 800),
    "chain of pax headers": lambda: piecewise(b"", pax((b"path", b"x")), 1_000_000),
    "chain of global headers": lambda: piecewise(b"", pax((b"comment", b"x")), 1_000_000),
    "chain of empty long links": lambda: piecewise(b"", header(kind=b"K"), 1_000_000),
    "sparse map in the content": lambda: piecewise(
        pax(
            (b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.realsize", b"9")
        )
        + header(size=HUGE)
        + b"99999999\n".ljust(512, b"0"),
        b"0\n" * (MIB // 2),
        800,
    ),
    "old sparse map": lambda: piecewise(
        header(b"s", b"S", HUGE, rest=b"\1" + bytes(29)),
        (b"1" * 504 + b"\1" + bytes(7)) * 2048,
        800,
    ),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_is_refused_in_little_memory_and_time(bomb: str) -> None:
    stream = BOMBS[bomb]()
    tracemalloc.start()
    started = time.process_time()
    try:
        with pytest.raises(Unreadable):
            list(TarReader(stream))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 24 * MIB
    assert time.process_time() - started < 5


def test_the_densest_allowed_extended_header_is_cheap() -> None:
    """Read two headers of 1 MiB with the shortest attributes, and measure memory and time."""
    attributes = b"".join(record(b"SCHILY.xattr.%x" % number, b"") for number in range(40_000))[
        : MIB - 4096
    ]
    attributes = attributes[: attributes.rindex(b"\n") + 1]
    archive = header(kind=b"x", size=len(attributes)) + padded(attributes) + header()
    tracemalloc.start()
    try:
        started = time.process_time()
        assert sum(1 for _ in TarReader(piecewise(b"", archive, 2))) == 2
        spent = time.process_time() - started
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 32 * MIB
    assert spent < 10


def test_a_global_header_is_not_copied_into_every_entry() -> None:
    pieces = b"".join(record(b"SCHILY.xattr.%x" % number, b"") for number in range(30_000))
    start = header(kind=b"g", size=len(pieces)) + padded(pieces)
    started = time.process_time()
    assert sum(1 for _ in TarReader(piecewise(start, header() * 100, 100))) == 10_000
    assert time.process_time() - started < 5


CHILD = """
import resource, sys
sys.path.insert(0, sys.argv[1])
import runtime.trees.plain, runtime.trees.tar as tar, runtime.trees.tar_entries as tar_entries
resource.setrlimit(resource.RLIMIT_AS, (256 << 20, 256 << 20))
class Stream:
    def __init__(self, head, left): self.head, self.left = head, left
    def read(self, size):
        data, self.head = self.head[:size], self.head[size:]
        if not data and self.left:
            data = bytes(min(size, self.left)); self.left -= len(data)
        return data
for kind in sys.stdin.buffer.read(5):
    import tarfile
    info = tarfile.TarInfo("x"); info.type = bytes([kind]); info.size = 800 << 20
    try:
        list(tar.TarReader(Stream(info.tobuf(tarfile.GNU_FORMAT), 800 << 20)))
    except tar_entries.TarTooLarge as error:
        print(error.what)
"""


def test_a_process_with_256_mib_reads_headers_of_800_mib() -> None:
    root = Path(__file__).parents[3]
    ended = subprocess.run(
        [sys.executable, "-c", CHILD, root],
        input=b"xXgLK",
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert ended.stderr == b""
    assert (
        ended.stdout.decode().splitlines()
        == ["The archive has an extended header of more than 1 MiB, at its start."] * 5
    )
