"""Checks of the values that a confined helper returned, before the host uses them.

A helper reads a tenant's files, so it may have been taken over. `wire` checks only the types. A
value that becomes part of a path, a command or a record needs one of these checks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TypeVar

from runtime.errors import HelperFailed

T = TypeVar("T")
V = TypeVar("V")
MOST = 1 << 62  # largest number of bytes that can be on a disk
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]{1,127}")  # Debian policy, section 5.6.7
_LONGEST_SHOWN = 200


def exactly(found: Mapping[str, V], names: Collection[str]) -> Mapping[str, V]:
    """Return `found` if its keys are exactly the names that were requested."""
    if set(found) != set(names):
        raise _wrong("names that were not requested", sorted(set(found) ^ set(names)))
    paths(found)
    return found


def among(found: Iterable[str], names: Collection[str]) -> None:
    """Check that each value is one of the names that were requested."""
    if others := set(found) - set(names):
        raise _wrong("names that were not requested", sorted(others))


def paths(names: Iterable[str]) -> None:
    """Check that each name is a relative path that stays inside its folder."""
    for name in names:
        if "\0" in name or any(part in ("", ".", "..") for part in name.split("/")):
            raise _wrong("a path that may lead out of its folder", name)


def packages(names: Iterable[str]) -> None:
    """Check that each name is a valid name of a Debian package."""
    for name in names:
        if not _PACKAGE.fullmatch(name):
            raise _wrong("an invalid package name", name)


def number(value: int, most: int = MOST) -> int:
    """Return a number if it is from 0 to `most`."""
    if not 0 <= value <= most:
        raise _wrong(f"a number that is not from 0 to {most}", value)
    return value


def at_most(data: bytes, most: int) -> bytes:
    """Return the bytes if there are at most `most` of them."""
    if len(data) > most:
        raise _wrong(f"more than the {most} bytes that were requested", len(data))
    return data


def parsed(parse: Callable[[str], T], text: str) -> T:
    """Return what `parse` makes of a text, for example a digest. It raises ValueError."""
    try:
        return parse(text)
    except ValueError:
        raise _wrong("an invalid value", text) from None


def _wrong(what: str, value: object) -> HelperFailed:
    return HelperFailed(f"A helper returned {what}: {repr(value)[:_LONGEST_SHOWN]}.")
