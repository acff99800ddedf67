"""SHA-512 digests of blobs. A blob's file is named by SHA-256, and an alias leads to it.

A hex has 64 digits for SHA-256 and 128 for SHA-512. Only the portal makes aliases, from bytes that
it has read itself, and for each team separately.
"""

from __future__ import annotations

from dataclasses import replace

from portal.registry.manifests import Descriptor, Document
from portal.registry.models import Alias
from portal.registry.names import algorithm_of


def record(team: int, digest: str, stored: str) -> None:
    """Remember that the blob `stored` (SHA-256) also has `digest` (SHA-512)."""
    Alias.objects.update_or_create(team_id=team, digest=digest, defaults={"stored": stored})


def stored_hex(team: int, digest: str) -> str:
    """Return the hex under which the team's blob is stored.

    A SHA-512 hex that the team has not pushed is returned unchanged: no file has such a name.
    """
    if algorithm_of(digest) == "sha256":
        return digest
    alias = Alias.objects.filter(team=team, digest=digest).first()
    return alias.stored if alias else digest


def names_of(team: int, digest: str) -> set[str]:
    """Return all known hex of the same blob, including `digest`."""
    stored = stored_hex(team, digest)
    return {
        digest,
        stored,
        *Alias.objects.filter(team=team, stored=stored).values_list("digest", flat=True),
    }


def resolved(team: int, document: Document) -> Document:
    """Return a manifest whose parts have the hex under which they are stored. The subject is
    unchanged, because it need not exist."""
    named = [part.digest for part in document.parts if algorithm_of(part.digest) == "sha512"]
    rows = Alias.objects.filter(team=team, digest__in=named) if named else ()
    stored = {alias.digest: alias.stored for alias in rows}

    def resolve(part: Descriptor) -> Descriptor:
        return replace(part, digest=stored.get(part.digest, part.digest))

    return replace(
        document,
        config=resolve(document.config) if document.config else None,
        layers=tuple(resolve(layer) for layer in document.layers),
        manifests=tuple(resolve(entry) for entry in document.manifests),
    )


def names_sha512(document: Document) -> bool:
    """Return whether a part of the manifest is named by SHA-512."""
    return any(algorithm_of(part.digest) == "sha512" for part in document.parts)
