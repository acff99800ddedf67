"""The rules for names, paths and sizes of volumes. Pure.

The builder, the portal and the node check the same rules: the node does not trust the portal.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from runtime.contract.quantities import Bytes

SMALLEST = Bytes(32 * 2**20)  # the file system itself needs a part of it
LARGEST = Bytes(8 * 2**40)
MOST_VOLUMES = 10  # per app
CODE = "/app"  # the code of images that are built here
LONGEST_PATH = 200  # characters
_NAME = re.compile(r"[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?")
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}|\.[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}")
# The folders of the system, and those that the platform itself mounts.
_SYSTEM = (
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/proc",
    "/run",
    "/sbin",
    "/sys",
    "/tmp",  # noqa: S108 -- the path inside the container
    "/usr",
    "/var/run",
)
# They contain folders of the system, but a volume may be below them.
_PARENTS = ("/", CODE, "/home", "/opt", "/root", "/srv", "/var", "/var/lib", "/var/log")


def checked_name(name: str) -> str:
    """Return the name. ValueError names the fault."""
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{name[:60]!r} is not a valid name of a volume: use at most 40 of a-z, 0-9 and hyphen,"
            " with a letter first"
        )
    return name


def checked_path(path: str) -> str:
    """Return the path inside an instance without a slash at its end. ValueError: the fault."""
    if not path.startswith("/") or "\0" in path or len(path) > LONGEST_PATH:
        raise ValueError(
            f"{path[:60]!r} is not a valid path of a volume: use an absolute path of at most"
            f" {LONGEST_PATH} characters, such as /data"
        )
    parts = path.rstrip("/").split("/")[1:]
    clean = "/" + "/".join(parts)
    if clean in _PARENTS:
        raise ValueError(
            f"a volume at {clean} would hide the app's code or the system's files: use a folder"
            " below it, or /data"
        )
    for part in parts:
        if not _PART.fullmatch(part):
            raise ValueError(
                f"{path[:60]!r} is not a valid path of a volume: each part has letters, digits,"
                " dot, hyphen and underscore only"
            )
    if any(is_at_or_below(clean, folder) for folder in _SYSTEM):
        raise ValueError(
            f"a volume at {clean} would hide files of the system: use another path, such as /data"
        )
    return clean


def checked_size(size: int) -> Bytes:
    """Return the size in bytes. ValueError names the limit."""
    if not SMALLEST <= size <= LARGEST:
        raise ValueError(f"a volume has from {SMALLEST} to {LARGEST}")
    return Bytes(size)


def overlapping(path: str, others: Iterable[str]) -> str:
    """Return a path that is the same as `path`, above it or below it; "" if there is none."""
    return next(
        (other for other in others if is_at_or_below(path, other) or is_at_or_below(other, path)),
        "",
    )


def is_at_or_below(path: str, folder: str) -> bool:
    """Return whether a path is a folder or inside it. Both are absolute and normalised."""
    return path == folder or path.startswith(f"{folder.rstrip('/')}/")
