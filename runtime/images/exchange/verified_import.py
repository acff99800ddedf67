"""The import of untrusted images: all digests, sizes and diff IDs are verified before listing."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.contract.quantities import Bytes
from runtime.errors import ImageDamaged
from runtime.images import manifest
from runtime.images.digest import Digest
from runtime.images.manifest import Descriptor, ImageConfig, Layer, pair_layers
from runtime.images.store import Store
from runtime.images.untrusted_config import check_config, parse_untrusted

# Bytes of a manifest or a configuration; registries accept no larger one.
_LARGEST_DOCUMENT = 4 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedImage:
    """An imported image."""

    digest: Digest
    config: ImageConfig
    layers: tuple[Layer, ...]  # bottom first


def import_verified(
    store: Store, blobs: Path, pointer: Descriptor, *, most: int | None = None
) -> VerifiedImage:
    """Import an image whose parts are in `blobs`, named by the hex of their digests.

    The caller holds a lease.

    `most` is the maximum size of all unpacked layers in bytes. Raises ImageDamaged, without listing
    the image, if a part is wrong, the image is for another machine, or it is too large.
    """
    try:
        described = _document(blobs, pointer)
        parse_untrusted(described)
        document = manifest.parse_manifest(described)
        configuration = _document(blobs, document.config)
        values = parse_untrusted(configuration)
        check_config(values)
        config, diff_ids = manifest.parse_config(configuration)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ImageDamaged(
            f"The received files are not an image: {error}.", hint="Ask its author, or use another."
        ) from None
    _check_machine(values)
    layers = pair_layers(document, diff_ids)
    left = most
    for layer in layers:
        _check(blobs, Descriptor(media_type=layer.media_type, digest=layer.digest, size=layer.size))
        length = _check_content(store, blobs / layer.digest.hex, layer, left)
        left = None if left is None else left - length
    for digest in (*(layer.digest for layer in layers), document.config.digest, pointer.digest):
        store.take_blob(blobs / digest.hex, digest)
    for layer in layers:
        store.unpacked(layer)
    store.list_image(pointer)
    return VerifiedImage(digest=pointer.digest, config=config, layers=layers)


def _document(blobs: Path, descriptor: Descriptor) -> bytes:
    _check(blobs, descriptor)
    if descriptor.size > _LARGEST_DOCUMENT:
        raise ImageDamaged(
            f"{descriptor.digest} is larger than {Bytes(_LARGEST_DOCUMENT)}.",
            hint="Use an image with a smaller manifest and configuration.",
        )
    return (blobs / descriptor.digest.hex).read_bytes()


def _check(blobs: Path, descriptor: Descriptor) -> None:
    path = blobs / descriptor.digest.hex
    if not path.is_file() or path.is_symlink():
        raise ImageDamaged(
            f"The part {descriptor.digest} of the image is missing.",
            hint="Import it again from its source.",
        )
    if path.stat().st_size != descriptor.size:
        raise ImageDamaged(
            f"{descriptor.digest} has {path.stat().st_size} bytes, not {descriptor.size} as"
            " declared.",
            hint="Do not trust this image.",
        )
    if (found := Digest.of_file(path)) != descriptor.digest:
        raise ImageDamaged(
            f"{descriptor.digest} has the digest {found}.", hint="Do not trust this image."
        )


def _check_content(store: Store, blob: Path, layer: Layer, most: int | None) -> int:
    """Return the length of the tar in a blob, after checking its diff ID.

    It is read even if a tree of that diff ID exists: a client must have the layers that it names.
    """
    again = "Push or import the image again."
    try:
        content = store.reader.content(blob, most)
    except ImageDamaged as error:
        what = (
            error.what if error.hint else f"The layer {layer.digest} cannot be read: {error.what}."
        )
        raise ImageDamaged(what, hint=error.hint or again) from None
    if content.diff_id != layer.diff_id:
        raise ImageDamaged(
            f"The layer {layer.digest} holds {content.diff_id} instead of {layer.diff_id}.",
            hint=again,
        )
    return content.length


def _check_machine(document: Mapping[str, Any]) -> None:
    meant, ours = document.get("architecture") or "", manifest.architecture(platform.machine())
    if meant and meant != ours:
        raise ImageDamaged(
            f"The image is for {meant}; this machine is {ours}.",
            hint=f"Use an image for linux/{ours}.",
        )
    if (system := document.get("os") or "linux") != "linux":
        raise ImageDamaged(
            f"The image is for {system}; this machine runs Linux.",
            hint=f"Use an image for linux/{ours}.",
        )
