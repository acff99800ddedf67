"""Parse tags and digests in the registry's URLs. A repository has the name TEAM/APP."""

from __future__ import annotations

import re

from portal.errors import RegistryRefused

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})|sha512:([0-9a-f]{128})")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_OF_RELEASE = re.compile(r"v([1-9][0-9]{0,8})")


def hex_of(digest: str) -> str:
    """Return the hex of a digest: 64 digits are SHA-256, 128 are SHA-512. Raise DIGEST_INVALID if
    it is malformed or has another algorithm."""
    match = _DIGEST.fullmatch(digest)
    if match is None:
        raise RegistryRefused(
            "DIGEST_INVALID",
            f"{digest[:100]!r} is not a supported digest.",
            status=400,
            hint="A digest is sha256: and 64 hex digits, or sha512: and 128.",
        )
    return match[1] or match[2]


def digest_of(hexadecimal: str) -> str:
    """Return the digest with this hex, as text."""
    return f"{algorithm_of(hexadecimal)}:{hexadecimal}"


def algorithm_of(hexadecimal: str) -> str:
    """Return the algorithm that made a hex: sha256 or sha512."""
    return "sha256" if len(hexadecimal) == 64 else "sha512"


def is_digest(reference: str) -> bool:
    """Return True if the reference is a digest, not a tag. A tag never has a colon."""
    return ":" in reference


def check_tag(reference: str) -> str:
    """Return the tag, or raise MANIFEST_INVALID if it is malformed."""
    if not _TAG.fullmatch(reference):
        raise RegistryRefused(
            "MANIFEST_INVALID",
            f"{reference[:100]!r} is not a valid tag.",
            status=400,
            hint=(
                "Use up to 128 letters, digits, dots, hyphens and underscores. The first is not a"
                " dot or hyphen."
            ),
        )
    return reference


def release_number(tag: str) -> int | None:
    """Return the number of a tag such as `v12`, or None for other tags."""
    match = _OF_RELEASE.fullmatch(tag)
    return int(match[1]) if match else None
