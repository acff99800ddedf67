"""Recognise the type of an archive by its content; its name must agree."""

from __future__ import annotations

from typing import BinaryIO

from runtime.builds.source.decompress import plain
from runtime.errors import BadArchive

MAX_BYTES = 1 << 30  # after unpacking


# file name ending -> type of the archive; the longest ending that matches is used
_ENDINGS = {
    ".zip": "zip",
    ".tar": "tar",
    ".tar.gz": "tar.gz",
    ".tgz": "tar.gz",
    ".tar.zst": "tar.zst",
    ".tzst": "tar.zst",
    ".tar.xz": "tar.xz",
    ".txz": "tar.xz",
}


_FOREIGN = {  # magic -> the name for a message
    b"BZh": "bzip2",
    b"7z\xbc\xaf\x27\x1c": "7-Zip",
    b"Rar!": "RAR",
    b"%PDF": "a PDF document",
    b"\x7fELF": "a program",
}


def kind_of(archive: BinaryIO, filename: str) -> str:
    found = _sniff(archive, filename)
    lowered = filename.lower()
    named = next(
        (
            kind
            for ending, kind in sorted(_ENDINGS.items(), key=lambda item: -len(item[0]))
            if lowered.endswith(ending)
        ),
        found,
    )
    if named != found:
        raise BadArchive(
            f"{filename} is named .{named}, but its content is a .{found} archive.",
            hint=f"Rename it to end in .{found}, or pack it again.",
        )
    return found


def _sniff(archive: BinaryIO, filename: str) -> str:
    head = archive.read(512)
    archive.seek(0)
    if not head:
        raise BadArchive(
            f"The archive {filename} is empty: it has no bytes.", hint="Upload it again."
        )
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    packings = {b"\x1f\x8b": "gz", b"\x28\xb5\x2f\xfd": "zst", b"\xfd7zXZ\x00": "xz"}
    packing = next((name for magic, name in packings.items() if head.startswith(magic)), "")
    block = plain(archive, packing, MAX_BYTES).read(512)
    archive.seek(0)
    if block[257:262] == b"ustar" or (len(block) == 512 and not block.strip(b"\0")):
        return f"tar.{packing}" if packing else "tar"
    if packing:
        raise BadArchive(
            f"{filename} is compressed ({packing}) but does not contain a tar archive.",
            hint=f"Pack the folder as .tar.{packing}.",
        )
    known = next(
        (name for magic, name in _FOREIGN.items() if head.startswith(magic)),
        "not a supported archive",
    )
    raise BadArchive(
        f"{filename} is {known}.", hint="Upload a .zip, .tar, .tar.gz, .tar.zst or .tar.xz."
    )
