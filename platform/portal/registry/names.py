"""Names in the registry's addresses: tags and digests. A repository is called TEAM/APP."""

from __future__ import annotations

import re

from portal.errors import RegistryRefused

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_OF_RELEASE = re.compile(r"v([1-9][0-9]{0,8})")


def hex_of(digest: str) -> str:
    """The hex of a digest. DIGEST_INVALID: it is none, or of another algorithm."""
    match = _DIGEST.fullmatch(digest)
    if match is None:
        raise RegistryRefused(
            "DIGEST_INVALID", f"{digest[:100]!r} is not a digest we take.", status=400, hint="One reads sha256: and 64 hex digits."
        )
    return match[1]


def is_digest(reference: str) -> bool:
    """Whether a manifest is asked for by digest, not by tag; no tag has a colon."""
    return ":" in reference


def check_tag(reference: str) -> str:
    """The tag, as one may be written. MANIFEST_INVALID: no tag looks so."""
    if not _TAG.fullmatch(reference):
        raise RegistryRefused(
            "MANIFEST_INVALID",
            f"{reference[:100]!r} cannot be a tag.",
            status=400,
            hint="Use up to 128 letters, digits, dots, hyphens and underscores, no dot or hyphen first.",
        )
    return reference


def release_number(tag: str) -> int | None:
    """The number in `v12`; None for other tags."""
    match = _OF_RELEASE.fullmatch(tag)
    return int(match[1]) if match else None
