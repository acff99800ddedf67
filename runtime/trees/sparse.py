"""Parser of the map of a sparse file, which says where it has data. No I/O.

It supports the four GNU formats (GNU tar manual, "Sparse Formats").
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from runtime.trees.fields import Malformed, decimal, number

Spans = Sequence[tuple[int, int]]  # (offset, length), ascending
_BLOCK = 512
_TOO_LONG = "its sparse map is too long"
_CUT = "its sparse map is cut off"


def old_spans(
    block: bytes, more: Callable[[], bytes], max_bytes: int
) -> tuple[list[tuple[int, int]], int]:
    """Parse the map of the old GNU format (type `S`). Return (spans, size of the whole file).

    `more` reads the next 512 bytes.
    """
    spans = _old(block[386:482])
    size = number(block[483:495], "its real size")
    extended, taken = block[482], 0
    while extended:
        taken += _BLOCK
        if taken > max_bytes:
            raise Malformed(_TOO_LONG)
        block = more()
        spans += _old(block[:504])
        extended = block[504]
    return spans, size


def _old(part: bytes) -> list[tuple[int, int]]:
    spans = []
    for at in range(0, len(part), 24):
        if not part[at] or not part[at + 12]:  # the first unused pair ends the list
            break
        spans.append(
            (
                number(part[at : at + 12], "its sparse map"),
                number(part[at + 12 : at + 24], "its sparse map"),
            )
        )
    return spans


def pax_spans(values: Mapping[bytes, bytes], pairs: list[bytes]) -> list[tuple[int, int]]:
    """Parse the map of format 0.0 or 0.1.

    Format 0.0 has repeated records, whose values are `pairs`. Format 0.1 has one record, with
    commas between numbers.
    """
    numbers = values[b"GNU.sparse.map"].split(b",") if values.get(b"GNU.sparse.map") else pairs
    if len(numbers) % 2:
        raise Malformed(_CUT)
    parsed = [decimal(value, "its sparse map") for value in numbers]
    return list(zip(parsed[::2], parsed[1::2], strict=True))


def inner_spans(more: Callable[[], bytes], max_bytes: int) -> tuple[list[tuple[int, int]], int]:
    """Parse the map of format 1.0, which precedes the content. Return (spans, bytes of the map)."""
    data, taken = b"", 0
    lines: list[bytes] = []
    expected = 1  # the count, then two numbers per span
    while len(lines) < expected:
        if taken >= max_bytes:
            raise Malformed(_TOO_LONG)
        data += more()
        taken += _BLOCK
        *found, data = data.split(b"\n")
        lines += found
        if expected == 1 and lines:
            count = decimal(lines[0], "its sparse map")
            if not 0 <= count <= max_bytes // 4:
                raise Malformed(_TOO_LONG)
            expected = 1 + 2 * count
        if len(lines) < expected and len(data) > 64:  # the rest after the last line is padding
            raise Malformed("its sparse map is not a number")
    parsed = [decimal(line, "its sparse map") for line in lines[1:expected]]
    return list(zip(parsed[::2], parsed[1::2], strict=True)), taken


def check_spans(spans: Spans, size: int, packed: int) -> None:
    """Check that spans are ascending, do not overlap, and fit the size.

    The file has `size` bytes; the spans have `packed` bytes in total.
    """
    end = total = 0
    for offset, length in spans:
        if offset < end or length < 0 or offset + length > size:
            raise Malformed("its sparse map contradicts itself")
        end = offset + length
        total += length
    if total != packed:
        raise Malformed("its sparse map does not fit its content")
