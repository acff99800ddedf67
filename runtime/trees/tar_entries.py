"""The values of a tar reader: entries, limits and errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from runtime.trees.plain import Unreadable


class Kind(StrEnum):
    """The type of an entry. The values are used in messages."""

    FILE = "file"
    FOLDER = "folder"
    LINK = "symbolic link"
    HARD_LINK = "hard link"
    FIFO = "pipe"
    CHARACTER_DEVICE = "character device"
    BLOCK_DEVICE = "block device"
    OTHER = "special file"  # an unknown type; its content is skipped or read like a file's

    @property
    def has_content(self) -> bool:
        return self in (Kind.FILE, Kind.OTHER)


class TarDamaged(Unreadable):
    """The archive is truncated or invalid. `what` names the entry."""


class TarTooLarge(Unreadable):
    """The archive exceeds a limit. `what` is a full sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TarLimits:
    """Limits of an archive. All sizes are bytes."""

    header_bytes: int = 1 << 20  # of one extended header or sparse map, which is read as a whole
    extended_in_a_row: int = 8  # extended headers before one entry
    extended_bytes: int = 512 << 20  # of all extended headers: a MiB can take 0.3 s
    name_bytes: int = 4095  # of a name or a link's target (PATH_MAX)
    part_bytes: int = 255  # of a name between two slashes (NAME_MAX)
    entries: int = 500_000  # as many as a build step may make
    content_bytes: int = 1 << 36  # of all entries together, with holes
    total_bytes: int = 1 << 37  # of the stream
    check_owners: bool = True  # refuse owners that are not valid in Linux


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """An entry.

    Names are as in the archive, also absolute ones; not UTF-8: surrogates (PEP 383).
    """

    name: str
    kind: Kind
    mode: int  # the lower 12 bits
    uid: int
    gid: int
    size: int  # bytes of content, with holes
    modified: int  # nanoseconds since 1970
    link: str  # target of a symbolic or hard link, or ""
    device: tuple[int, int]  # major, minor
    attributes: Mapping[str, bytes]  # extended attributes by full name, such as security.capability
    sparse: bool
