"""Parser of the fields of a tar header and of pax records (POSIX pax, "pax Extended Header").

No I/O.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

LARGEST_ID = 2**32 - 2  # Linux: 2**32 - 1 means "leave as it is"
_LARGEST_SECONDS = 2**62  # limit of utimensat(2), with room for sums
_DECIMAL = re.compile(rb"-?[0-9]{1,20}")
_MOMENT = re.compile(rb"(-?)([0-9]{1,20})(?:[.]([0-9]{0,64}))?")
_BILLION = 1_000_000_000


class Malformed(Exception):
    """A field that cannot be parsed. The text names the field."""


def text(field: bytes) -> bytes:
    """Return a field up to its first NUL."""
    return field.partition(b"\0")[0]


def number(field: bytes, what: str) -> int:
    """Parse a number field: octal digits, or base-256 as GNU tar writes it. The result may be
    negative.
    """
    if field[0] & 0x80:
        if field[0] & 0x40:
            return int.from_bytes(field, "big", signed=True)
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    digits = text(field.strip(b" \0"))
    if digits.strip(b"01234567"):
        raise Malformed(f"{what} is not a number")
    return int(digits, 8) if digits else 0


def decimal(value: bytes, what: str) -> int:
    """Parse a number of a pax record."""
    if not _DECIMAL.fullmatch(value):
        raise Malformed(f"{what} is not a number")
    return int(value)


def moment(value: bytes) -> int:
    """Parse a time of a pax record, seconds with a fraction. Return nanoseconds, truncated."""
    parts = _MOMENT.fullmatch(value)
    if parts is None:
        raise Malformed("its time is not a number")
    sign, whole, fraction = parts[1], int(parts[2]), (parts[3] or b"")
    nanoseconds = whole * _BILLION + int((fraction + b"000000000")[:9])
    return checked_moment(-nanoseconds if sign else nanoseconds)


def checked_moment(nanoseconds: int) -> int:
    if abs(nanoseconds) > _LARGEST_SECONDS * _BILLION:
        raise Malformed("its time is out of range")
    return nanoseconds


def records(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield (key, value) of each pax record, `LENGTH KEY=VALUE\\n`."""
    position = 0
    while position < len(data) and data[position]:  # some writers pad with NUL
        space = data.find(b" ", position, position + 10)
        length = data[position:space] if space > 0 else b""
        end = position + int(length) if length.isdigit() else 0
        if not space < end - 1 < len(data) or data[end - 1] != 0x0A:
            raise Malformed("a record of its extended header is cut off")
        key, sign, value = data[space + 1 : end - 1].partition(b"=")
        if not key or not sign or b"\0" in key:
            raise Malformed("a record of its extended header has no valid key")
        yield key, value
        position = end


def has_valid_checksum(block: bytes) -> bool:
    """Return whether a header's checksum is right. Old programs summed signed bytes."""
    try:
        written = number(block[148:156], "the checksum")
    except Malformed:
        return False
    rest = block[:148] + block[156:]
    unsigned = sum(rest) + 8 * 0x20
    return written == unsigned or written == unsigned - 256 * sum(
        byte > 127 for byte in rest
    )  # the second is slow
