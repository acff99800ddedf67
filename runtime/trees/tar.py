"""Reader of untrusted tar streams: v7, ustar, pax, GNU and star headers, and GNU's sparse files.

Memory is limited. Where programs differ, it behaves like Go's archive/tar, which Docker uses. The
GNU long name has precedence over the pax path. Links and folders have no content. An empty pax
value selects the header's own field. Unlike Go, it applies records of a global header to later
entries (POSIX).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from runtime import cancellation
from runtime.trees import sparse
from runtime.trees.fields import (
    LARGEST_ID,
    Malformed,
    checked_moment,
    decimal,
    has_valid_checksum,
    moment,
    number,
    records,
    text,
)
from runtime.trees.plain import Source
from runtime.trees.tar_entries import Kind, Member, TarDamaged, TarLimits, TarTooLarge
from runtime.trees.tar_extended import STANDARD, Extended
from runtime.trees.tar_headers import KINDS, decoded, device_of, human, name_of, shown

_BLOCK = 512
_CHUNK = 1 << 20
_ZEROS = bytes(_BLOCK)
_NO_ATTRIBUTES: Mapping[str, bytes] = MappingProxyType({})


class TarReader:
    """Iterator over the entries of a tar stream. The next iteration skips unread content."""

    def __init__(self, stream: Source, *, limits: TarLimits | None = None) -> None:
        self._stream, self._limits = stream, limits or TarLimits()
        self._global: dict[bytes, bytes] = {}
        self._at = "at its start"  # position in the archive, for errors
        self._entries = self._content = self._extended = self._total = 0
        self._left = self._padding = 0  # of the latest entry, in the stream
        self._position = self._size = 0  # in the latest entry's content
        self._spans: sparse.Spans | None = None  # of a sparse file
        self._span = 0
        self._ended = False

    def __iter__(self) -> Iterator[Member]:
        return self

    def __next__(self) -> Member:
        if self._ended:
            raise StopIteration
        self._ended = True  # also after an error: then the position of the next header is unknown
        try:
            self._skip()
            member = self._next()
        except Malformed as error:
            raise TarDamaged(f"{self._at}: {error}") from None
        if member is None:
            raise StopIteration
        self._ended = False
        return member

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes of the entry's content, b"" at its end."""
        if self._spans is None:
            data = self._pull(min(size, self._left))
            self._left -= len(data)
            return data
        is_hole, length = self._stretch()
        length = min(length, size, _CHUNK)
        if is_hole:
            data = bytes(length)
        else:
            data = self._pull(min(length, self._left))
            self._left -= len(data)
        self._position += len(data)
        return data

    def copy_to(
        self, write: Callable[[bytes], object], *, hole: Callable[[int], object] | None = None
    ) -> None:
        """Pass the remaining content to `write`, and lengths of holes to `hole` (else as zeros)."""
        while True:
            cancellation.check()
            if (
                hole is not None
                and self._spans is not None
                and (stretch := self._stretch())[0]
                and stretch[1]
            ):
                hole(stretch[1])
                self._position += stretch[1]
            elif data := self.read(_CHUNK):
                write(data)
            else:
                return

    def _stretch(self) -> tuple[bool, int]:
        """Return (whether it is a hole, bytes) of the next part of a sparse file."""
        spans = self._spans or ()
        while self._span < len(spans):
            offset, length = spans[self._span]
            if self._position < offset:
                return True, offset - self._position
            if self._position < offset + length:
                return False, offset + length - self._position
            self._span += 1
        return True, self._size - self._position

    def _pull(self, size: int) -> bytes:
        """Read some of `size` bytes from the stream. Raise TarDamaged at its end."""
        if size <= 0:
            return b""
        data = self._stream.read(min(size, _CHUNK))
        if not data:
            raise TarDamaged(f"{self._at}: the archive ends too early")
        self._count(data)
        return data

    def _count(self, data: bytes) -> None:
        self._total += len(data)
        if self._total > self._limits.total_bytes:
            raise TarTooLarge(f"The archive has more than {self._limits.total_bytes:,} bytes.")

    def _exactly(self, size: int) -> bytes:
        pieces = []
        while size:
            pieces.append(self._pull(size))
            size -= len(pieces[-1])
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _skip(self) -> None:
        left = self._left + self._padding
        self._left = self._padding = 0
        while left > 0:
            cancellation.check()
            left -= len(self._pull(left))

    def _header(self) -> bytes | None:
        """Read a header; None at the end of the archive, normally marked by two blocks of zeros."""
        data = self._stream.read(_BLOCK)
        if not data:
            return None
        self._count(data)
        block = data if len(data) == _BLOCK else data + self._exactly(_BLOCK - len(data))
        if block != _ZEROS:
            if not has_valid_checksum(block):
                raise Malformed("the next header has a wrong checksum")
            return block
        second = self._stream.read(_BLOCK)
        self._count(second)
        if second.strip(b"\0"):
            raise Malformed("a block of zeros is between the entries")
        return None

    def _next(self) -> Member | None:
        cancellation.check()
        extended = Extended()
        for _ in range(self._limits.extended_in_a_row + 1):
            block = self._header()
            if block is None:
                if extended.any:
                    raise Malformed("an extended header has no entry")
                return None
            if block[156:157] not in b"xXgLK":
                return self._member(block, extended)
            self._extend(extended, block)
        raise TarTooLarge(
            f"The archive has more than {self._limits.extended_in_a_row} extended headers in a row,"
            f" {self._at}."
        )

    def _extend(self, extended: Extended, block: bytes) -> None:
        kind, size = block[156:157], number(block[124:136], "the size of an extended header")
        if size > self._limits.header_bytes:
            raise TarTooLarge(
                "The archive has an extended header of more than"
                f" {human(self._limits.header_bytes)}, {self._at}."
            )
        if size < 0:
            raise Malformed("an extended header has a negative size")
        self._extended += _BLOCK + size
        if self._extended > self._limits.extended_bytes:
            raise TarTooLarge(
                "The archive's extended headers have more than"
                f" {human(self._limits.extended_bytes)}, {self._at}."
            )
        data = self._exactly(size)
        self._padding = -size % _BLOCK
        self._skip()
        if kind == b"g":
            self._remember(data)
            return
        extended.add(kind, data)

    def _remember(self, data: bytes) -> None:
        self._global |= {key: value for key, value in records(data) if key in STANDARD}

    def _member(self, block: bytes, extended: Extended) -> Member:
        self._entries += 1
        if self._entries > self._limits.entries:
            raise TarTooLarge(f"The archive has more than {self._limits.entries:,} entries.")
        values = {key: value for key, value in (self._global | extended.values).items() if value}
        sparse_name = (
            values.get(b"GNU.sparse.name")
            if b"GNU.sparse.major" in values or b"GNU.sparse.map" in values
            else None
        )
        name = extended.long_name or sparse_name or values.get(b"path") or name_of(block)
        self._at = f"at the entry {shown(name)}"
        self._check_name(name)
        kind = KINDS.get(block[156:157], Kind.OTHER)
        if block[156:157] == b"\0" and name.endswith(b"/"):
            kind = Kind.FOLDER  # v7 has no other mark of a folder
        link = b""
        if kind in (Kind.LINK, Kind.HARD_LINK):
            link = extended.long_link or values.get(b"linkpath") or text(block[157:257])
            self._check_name(link, is_link=kind is Kind.LINK)
        self._set_content(block, kind, values, extended)
        return Member(
            name=decoded(name),
            kind=kind,
            mode=number(block[100:108], "its mode") & 0o7777,
            uid=self._owner(values.get(b"uid"), block[108:116], "its owner"),
            gid=self._owner(values.get(b"gid"), block[116:124], "its group"),
            size=self._size,
            modified=(
                moment(values[b"mtime"])
                if b"mtime" in values
                else checked_moment(number(block[136:148], "its time") * 1_000_000_000)
            ),
            link=decoded(link),
            device=device_of(block)
            if kind in (Kind.CHARACTER_DEVICE, Kind.BLOCK_DEVICE)
            else (0, 0),
            attributes=extended.attributes or _NO_ATTRIBUTES,
            sparse=self._spans is not None,
        )

    def _set_content(
        self, block: bytes, kind: Kind, values: Mapping[bytes, bytes], extended: Extended
    ) -> None:
        self._position = self._span = self._size = 0
        self._spans = None
        packed = (
            decimal(values[b"size"], "its size")
            if b"size" in values
            else number(block[124:136], "its size")
        )
        if packed < 0:
            raise Malformed("its size is negative")
        if not kind.has_content:
            return
        self._left, self._padding, self._size = packed, -packed % _BLOCK, packed
        if kind is Kind.FILE:
            self._set_spans(block, values, extended)
        self._content += self._size
        if self._content > self._limits.content_bytes:
            raise TarTooLarge(
                f"The archive unpacks to more than {human(self._limits.content_bytes)}, {self._at}."
            )

    def _set_spans(self, block: bytes, values: Mapping[bytes, bytes], extended: Extended) -> None:
        """Read the map of a sparse file, if this is one."""
        version = (values.get(b"GNU.sparse.major"), values.get(b"GNU.sparse.minor"))
        if b"SCHILY.realsize" in values:
            raise Malformed("the sparse format of star is not supported")
        if block[156:157] == b"S":
            spans, size = sparse.old_spans(
                block, lambda: self._exactly(_BLOCK), self._limits.header_bytes
            )
        elif version == (b"1", b"0"):
            spans, taken = sparse.inner_spans(self._map_block, self._limits.header_bytes)
            self._left -= taken
            size = decimal(values.get(b"GNU.sparse.realsize", b""), "its real size")
        elif version in ((b"0", b"0"), (b"0", b"1")) or (
            version == (None, None) and (extended.sparse_pairs or b"GNU.sparse.map" in values)
        ):
            spans = sparse.pax_spans(values, extended.sparse_pairs)
            size = decimal(
                values.get(b"GNU.sparse.size") or values.get(b"GNU.sparse.realsize", b""),
                "its real size",
            )
        elif version != (None, None):
            raise Malformed("its sparse format is not supported")
        else:
            return
        sparse.check_spans(spans, size, self._left)
        self._spans, self._size = spans, size

    def _map_block(self) -> bytes:
        return self._exactly(_BLOCK)

    def _owner(self, record: bytes | None, header: bytes, what: str) -> int:
        value = decimal(record, what) if record is not None else number(header, what)
        if self._limits.check_owners and not 0 <= value <= LARGEST_ID:
            raise Malformed(f"{what} is out of range")
        return value

    def _check_name(self, name: bytes, *, is_link: bool = False) -> None:
        """Check a name, or a symbolic link's target, whose parts the kernel does not check."""
        if b"\0" in name:
            raise Malformed("its name or target contains a NUL byte")
        if len(name) > self._limits.name_bytes:
            raise TarTooLarge(
                f"The archive has a name of more than {self._limits.name_bytes} bytes, {self._at}."
            )
        if (
            not is_link
            and len(name) > self._limits.part_bytes
            and max(map(len, name.split(b"/"))) > self._limits.part_bytes
        ):
            raise TarTooLarge(
                f"The archive has a name with a part of more than {self._limits.part_bytes} bytes,"
                f" {self._at}."
            )
