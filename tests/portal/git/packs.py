"""Build git objects and packs byte by byte, including ones that git would not create
(gitformat-pack(5), gitprotocol-pack(5))."""

from __future__ import annotations

import base64
import hashlib
import http.client
import struct
import threading
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

KINDS = {"commit": 1, "tree": 2, "blob": 3, "tag": 4}
REF_DELTA = 7
NOBODY = "Nobody <nobody@localhost> 1700000000 +0000"


class Pack:
    """A pack with objects in the order in which they are added. Each method returns the object's id
    in hex."""

    def __init__(self) -> None:
        self._entries: list[bytes] = []

    def add(self, kind: str, content: bytes) -> str:
        self._entries.append(_head(KINDS[kind], len(content)) + zlib.compress(content, 1))
        return object_id(kind, content)

    def zeros(self, size: int) -> str:
        """Add a blob of zeros, without having it in memory."""
        digest, packer, packed = (
            hashlib.sha1(f"blob {size}\0".encode()),
            zlib.compressobj(1),
            bytearray(_head(KINDS["blob"], size)),
        )
        for place in range(0, size, 2**20):
            block = bytes(min(2**20, size - place))
            digest.update(block)
            packed += packer.compress(block)
        self._entries.append(bytes(packed + packer.flush()))
        return digest.hexdigest()

    def repeated(self, base: bytes, times: int) -> str:
        """Add a blob that is a delta: `base`, repeated with four bytes per copy."""
        kept = self.add("blob", base)
        # from offset 0, with a length of three bytes
        copy = bytes([0x80 | 0x70, *struct.pack("<I", len(base))[:3]])
        delta = _varint(len(base)) + _varint(len(base) * times) + copy * times
        self._entries.append(
            _head(REF_DELTA, len(delta)) + bytes.fromhex(kept) + zlib.compress(delta)
        )
        digest = hashlib.sha1(f"blob {len(base) * times}\0".encode())
        for _ in range(times):
            digest.update(base)
        return digest.hexdigest()

    def tree(self, entries: Iterable[tuple[str, bytes, str]]) -> str:
        """Add a tree of (mode, name, id) in this order, even if git would refuse it."""
        return self.add(
            "tree",
            b"".join(
                mode.encode() + b" " + name + b"\0" + bytes.fromhex(inner)
                for mode, name, inner in entries
            ),
        )

    def commit(
        self, tree: str, *, parent: str = "", message: bytes = b"boom\n", headers: bytes = b""
    ) -> str:
        before = f"parent {parent}\n" if parent else ""
        return self.add(
            "commit",
            f"tree {tree}\n{before}author {NOBODY}\ncommitter {NOBODY}\n".encode()
            + headers
            + b"\n"
            + message,
        )

    def data(self) -> bytes:
        content = b"PACK" + struct.pack(">II", 2, len(self._entries)) + b"".join(self._entries)
        return content + hashlib.sha1(content).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """The response of a portal to a push."""

    status: int
    said: str  # the text that git would show after `remote:`
    report: str  # the result of unpacking and of each ref
    seconds: float
    retry_after: str | None = None


def object_id(kind: str, content: bytes) -> str:
    return hashlib.sha1(f"{kind} {len(content)}\0".encode() + content).hexdigest()


def body_of(
    commit: str, pack: bytes, *, ref: str = "refs/heads/main", more: Iterable[str] = ()
) -> bytes:
    """Return what a client sends to push a new branch."""
    commands = [
        f"{'0' * 40} {commit} {ref}\0report-status side-band-64k\n",
        *(f"{'0' * 40} {commit} {other}\n" for other in more),
    ]
    return (
        b"".join(f"{len(line.encode()) + 4:04x}{line}".encode() for line in commands)
        + b"0000"
        + pack
    )


def push(portal: str, app: str, token: str, body: bytes) -> Pushed:
    """Push like a client that does not check what it sends."""
    begun = time.monotonic()
    status, headers, answer = post(portal, f"/git/{app}.git/git-receive-pack", token, body)
    said, report = bytearray(), bytearray()
    if status == 200:
        for content in frames(answer):
            (report if content[:1] == b"\1" else said).extend(content[1:])
    else:
        said += answer
    return Pushed(
        status=status,
        said=said.decode(errors="replace"),
        report=report.decode(errors="replace"),
        seconds=time.monotonic() - begun,
        retry_after=headers.get("Retry-After"),
    )


def post(
    portal: str, path: str, token: str, body: bytes
) -> tuple[int, http.client.HTTPMessage, bytes]:
    address = urlsplit(portal)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=120)
    try:
        connection.request("POST", path, body, {"Authorization": authorization(token)})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def authorization(token: str) -> str:
    return f"Basic {base64.b64encode(f'any:{token}'.encode()).decode()}"


def frames(data: bytes) -> Iterator[bytes]:
    """Yield the contents of packet lines."""
    while data:
        length = int(data[:4], 16)
        if length > 4:
            yield data[4:length]
        data = data[max(length, 4) :]


class Peak:
    """The peak memory of any group, and the peak number of groups."""

    bytes = 0
    groups = 0


@contextmanager
def watched(subtrees: Iterable[Path]) -> Iterator[Peak]:
    """Measure the groups of the portal's programs repeatedly."""
    peak, over = Peak(), threading.Event()

    def look() -> None:
        while not over.wait(0.01):
            found = list(groups_in(subtrees))
            peak.groups = max(peak.groups, len(found))
            for file in (
                group / name
                for group in found
                for name in ("memory.max_usage_in_bytes", "memory.peak")
            ):
                try:
                    peak.bytes = max(peak.bytes, int(file.read_text()))
                except OSError:
                    continue

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield peak
    finally:
        over.set()
        thread.join()


def groups_in(subtrees: Iterable[Path]) -> Iterator[Path]:
    """Yield the groups of running programs."""
    for root in subtrees:
        for team in root.glob("team*"):
            with suppress(FileNotFoundError):  # it has just ended
                yield from team.glob("*-*-*")


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(0x80 | (number & 0x7F))
        number >>= 7
    return bytes([*found, number])


def _head(kind: int, size: int) -> bytes:
    first, size = (kind << 4) | (size & 15), size >> 4
    return bytes([first | 0x80]) + _varint(size) if size else bytes([first])
