"""Compare two Debian versions (Debian policy 5.6.12, deb-version(7)). Pure."""

from __future__ import annotations

import re
from itertools import zip_longest

_PARTS = re.compile(r"([^0-9]*)([0-9]*)")


def earlier(version: str, other: str) -> bool:
    """Return whether `version` sorts before `other`."""
    return _key(version) < _key(other)


def _key(version: str) -> _Ordered:
    epoch, colon, rest = version.partition(":")
    if not colon:
        epoch, rest = "0", version
    upstream, hyphen, revision = rest.rpartition("-")
    if not hyphen:
        upstream, revision = rest, "0"
    return _Ordered(int(epoch) if epoch.isdecimal() else 0, upstream, revision)


class _Ordered:
    """A version that compares as in dpkg: epoch, upstream version, revision."""

    def __init__(self, epoch: int, upstream: str, revision: str) -> None:
        self._epoch, self._upstream, self._revision = epoch, upstream, revision

    def __lt__(self, other: _Ordered) -> bool:
        if self._epoch != other._epoch:
            return self._epoch < other._epoch
        return (_compare(self._upstream, other._upstream) or _compare(self._revision, other._revision)) < 0


def _compare(version: str, other: str) -> int:
    """Return a number below, equal to or above 0.

    Parts without digits are compared by their characters, and parts with digits by their number,
    alternately.
    """
    for left, right in zip_longest(_PARTS.findall(version), _PARTS.findall(other), fillvalue=("", "")):
        for sign, its in zip_longest(left[0], right[0], fillvalue=""):
            if difference := _weight(sign) - _weight(its):
                return difference
        if difference := int(left[1] or 0) - int(right[1] or 0):
            return difference
    return 0


def _weight(sign: str) -> int:
    """Return the order of a character: tilde before the end, the end before letters, letters before all others."""
    if sign == "~":
        return -1
    if not sign:
        return 0
    return ord(sign) if sign.isalpha() else ord(sign) + 256
