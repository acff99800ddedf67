"""Read the entries of a zip archive."""

from __future__ import annotations

import errno
import os
import stat
import struct
import zipfile
import zlib
from typing import BinaryIO

from runtime.builds.source.unpacked_tree import AGAIN, MAX_PATH, Entry, UnpackedTree
from runtime.errors import BadArchive

_MAX_DIRECTORY = 32 << 20  # of a zip's central directory, which zipfile reads as a whole


def unpack_zip(archive: BinaryIO, tree: UnpackedTree) -> None:
    _check_directory(archive, tree.max_entries)
    try:
        with zipfile.ZipFile(archive) as packed:
            for info in packed.infolist():
                _unpack_zip_entry(packed, info, tree)
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        struct.error,
        UnicodeError,
        ValueError,
    ) as error:
        raise BadArchive(
            f"The zip archive ends too early or is damaged: {str(error).rstrip('.')}.", hint=AGAIN
        ) from None
    except OSError as error:
        if (
            error.errno != errno.EINVAL
        ):  # from lseek(2): the zip names an offset before its own beginning
            raise
        raise BadArchive(
            "The zip archive is damaged: it refers to a place outside the file.", hint=AGAIN
        ) from None


def _check_directory(archive: BinaryIO, max_entries: int) -> None:
    """Check the zip's end record before zipfile reads the whole directory into memory (APPNOTE.TXT,
    4.3.16).
    """
    length = archive.seek(0, os.SEEK_END)
    archive.seek(max(0, length - 65_557))
    tail = archive.read()
    archive.seek(0)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) < at + 22:
        raise BadArchive(
            "The zip archive ends too early: its table of contents is missing.",
            hint="Upload it again.",
        )
    entries, directory = struct.unpack_from("<HI", tail, at + 10)
    if entries > max_entries or entries == 0xFFFF or directory > _MAX_DIRECTORY:
        raise BadArchive(
            f"The archive has more than {max_entries:,} entries, the most that a source may have.",
            hint=(
                "Leave out files that the build installs, such as node_modules or a virtual"
                " environment."
            ),
        )


def _unpack_zip_entry(packed: zipfile.ZipFile, info: zipfile.ZipInfo, tree: UnpackedTree) -> None:
    name = info.orig_filename
    if info.create_system == 0:  # made on Windows, where some tools write backslashes
        name = name.replace("\\", "/")
    mode = info.external_attr >> 16 if info.create_system == 3 else 0o644
    kind = stat.S_IFMT(mode)
    if info.flag_bits & 1:
        raise BadArchive(
            f"{name!r} is encrypted.", hint="Pack without a password; use config vars for secrets."
        )
    entry = Entry(
        name=name,
        mode=stat.S_IMODE(mode),
        is_folder=name.endswith("/") or kind == stat.S_IFDIR,
        size=info.file_size,
    )
    if kind == stat.S_IFLNK:
        if info.file_size > MAX_PATH:
            raise BadArchive(f"The link {name!r} is longer than any path.", hint=AGAIN)
        entry.symlink = os.fsdecode(packed.read(info))
        tree.add(entry)
    elif entry.is_folder or kind not in (0, stat.S_IFREG):
        entry.strange = "" if entry.is_folder else "a device, pipe or socket"
        tree.add(entry)
    else:
        with packed.open(info) as content:
            entry.content = content
            tree.add(entry)
