"""Order of Debian versions (Debian policy 5.6.12, deb-version(7)). Pure."""

from __future__ import annotations

from debian.debian_support import NativeVersion


def earlier(version: str, other: str) -> bool:
    """Return whether `version` sorts before `other`. Raises ValueError for an invalid version."""
    return bool(NativeVersion(version) < NativeVersion(other))
