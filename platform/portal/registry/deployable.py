"""Find the image that a pushed manifest deploys, and check that its parts were pushed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator

from portal.apps.models import App
from portal.errors import RegistryRefused
from portal.registry import aliases, blob_store, manifests
from portal.registry.manifests import Descriptor, Document
from portal.registry.names import digest_of

DEEPEST_INDEX = 3  # indexes in an index
# names of uname(2) -> names of Go, which the specification uses
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def check_parts(app: App, document: Document) -> tuple[Descriptor, ...]:
    """Check that all parts of a manifest were pushed, with the right size. Return the layers that
    need not be pushed, and were not."""
    absent = []
    for part in document.parts:
        path = blob_store.find(app, part.digest)
        if path is None and not part.is_distributed:
            absent.append(part)
            continue
        if path is None:
            raise RegistryRefused(
                "MANIFEST_BLOB_UNKNOWN",
                f"The manifest names {digest_of(part.digest)}, which was not pushed.",
                status=400,
                hint="Push it again.",
            )
        if (size := path.stat().st_size) != part.size:
            raise RegistryRefused(
                "MANIFEST_INVALID",
                f"The manifest gives {part.size} bytes as the size of sha256:{part.digest}, but it"
                f" has {size} bytes.",
                status=400,
            )
    return tuple(absent)


def image_of(app: App, document: Document, data: bytes) -> Descriptor | None:
    """Return the image that a tag deploys: the manifest itself, or the entry of an index for this
    machine.

    None if the manifest is not a runnable image, or an index without any image.
    """
    architecture = _ARCHITECTURES.get(os.uname().machine, os.uname().machine)
    if document.is_index:
        if document.subject:
            return None
        found = next(_runnable(app, document, architecture, depth=0, known=set()), None)
        if found is None:
            manifests.check_platforms(document, architecture)
            return None
        document, data = found
        check_parts(app, document)
    if not document.is_runnable or document.config is None:
        return None
    manifests.check_machine(_read(app, document.config), architecture)
    size = sum(layer.size for layer in document.layers)
    return Descriptor(
        media_type=document.media_type, digest=_stored(app, document, data), size=size
    )


def _stored(app: App, document: Document, data: bytes) -> str:
    """Return the hex of the manifest to deploy: the pushed one, or a stored copy of it that names
    its parts by SHA-256, because nodes know no other digests."""
    if aliases.names_sha512(manifests.parse(data)):
        return blob_store.keep(app.team_id, manifests.with_sha256(data, document))
    return hashlib.sha256(data).hexdigest()


def _runnable(
    app: App, index: Document, architecture: str, *, depth: int, known: set[str]
) -> Iterator[tuple[Document, bytes]]:
    """Yield the images of an index for this machine with their bytes, also those of nested indexes.

    An entry without a platform counts: its configuration names the machine. A manifest in `known`
    was read before: nested indexes that list each other many times would take years.
    """
    for entry in index.manifests:
        if not entry.may_run_on(architecture) or entry.digest in known:
            continue
        known.add(entry.digest)
        data = _read(app, entry)
        document = aliases.resolved(app.team_id, manifests.parse(data, entry.media_type))
        if document.is_index:
            if depth < DEEPEST_INDEX:
                yield from _runnable(app, document, architecture, depth=depth + 1, known=known)
        elif document.is_runnable:
            yield document, data


def _read(app: App, part: Descriptor) -> bytes:
    path = blob_store.find(app, part.digest)
    if path is None or part.size > manifests.LARGEST:
        raise RegistryRefused(
            "MANIFEST_INVALID",
            f"sha256:{part.digest} is too large to be a manifest or a configuration.",
            status=400,
        )
    return path.read_bytes()
