"""Decode the fields of a tar header."""

from __future__ import annotations

from runtime.trees.fields import (
    Malformed,
    number,
    text,
)
from runtime.trees.tar_entries import Kind

_LARGEST_MAJOR, _LARGEST_MINOR = 0xFFF, 0xFFFFF  # limits of Linux's device numbers


KINDS = {
    b"\0": Kind.FILE,
    b"0": Kind.FILE,
    b"7": Kind.FILE,  # contiguous
    b"S": Kind.FILE,  # sparse
    b"1": Kind.HARD_LINK,
    b"2": Kind.LINK,
    b"3": Kind.CHARACTER_DEVICE,
    b"4": Kind.BLOCK_DEVICE,
    b"5": Kind.FOLDER,
    b"6": Kind.FIFO,
}


def name_of(block: bytes) -> bytes:
    name = text(block[:100])
    if block[257:262] != b"ustar" or block[257:265] == b"ustar  \0":  # v7, or GNU (has times here)
        return name
    # star has times after it
    prefix = text(block[345:476] if block[508:512] == b"tar\0" else block[345:500])
    return prefix + b"/" + name if prefix else name


def device_of(block: bytes) -> tuple[int, int]:
    major, minor = (
        number(block[329:337], "its device number"),
        number(block[337:345], "its device number"),
    )
    if not (0 <= major <= _LARGEST_MAJOR and 0 <= minor <= _LARGEST_MINOR):
        raise Malformed("its device number is out of range")
    return major, minor


def decoded(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def shown(name: bytes) -> str:
    return repr(decoded(name)) if len(name) <= 200 else f"{decoded(name[:200])!r}…"


def human(size: int) -> str:
    return (
        f"{size >> 30} GiB"
        if size >= 1 << 30
        else f"{size >> 20} MiB"
        if size >= 1 << 20
        else f"{size:,} bytes"
    )
