"""Taking strangers' blobs into the store: nothing of an image is listed before every digest, size and diff ID was found true."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass
from pathlib import Path

from runtime.contract.quantities import Bytes
from runtime.errors import ImageDamaged
from runtime.images import manifest
from runtime.images.digest import Digest
from runtime.images.manifest import Descriptor, ImageConfig, Layer
from runtime.images.store import Store

_LARGEST_DOCUMENT = 4 << 20  # bytes, of a manifest or a configuration; registries take no larger one


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopted:
    """An image that is ours now."""

    digest: Digest
    config: ImageConfig
    layers: tuple[Layer, ...]  # bottom first


def adopt(store: Store, blobs: Path, pointer: Descriptor, *, most: int | None = None) -> Adopted:
    """Take an image whose parts lie in `blobs`, by the hex of their digests; the caller holds a lease.

    `most`: bytes that all its layers may unpack to. ImageDamaged: something is not what it claims, is for another kind of machine,
    or is too large; then nothing is listed.
    """
    try:
        document = manifest.parse_manifest(_document(blobs, pointer))
        told = _document(blobs, document.config)
        config, diff_ids = manifest.parse_config(told)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ImageDamaged(f"What came is no image: {error}.", hint="Ask its author, or name another.") from None
    _check_machine(told)
    layers = store.pair(document, diff_ids)
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
    return Adopted(digest=pointer.digest, config=config, layers=layers)


def _document(blobs: Path, one: Descriptor) -> bytes:
    _check(blobs, one)
    if one.size > _LARGEST_DOCUMENT:
        raise ImageDamaged(f"{one.digest} is larger than {Bytes(_LARGEST_DOCUMENT)}.", hint="No manifest or configuration is.")
    return (blobs / one.digest.hex).read_bytes()


def _check(blobs: Path, one: Descriptor) -> None:
    path = blobs / one.digest.hex
    if not path.is_file() or path.is_symlink():
        raise ImageDamaged(f"The image lacks its part {one.digest}.", hint="Import it again from where it came.")
    if path.stat().st_size != one.size:
        raise ImageDamaged(f"{one.digest} has {path.stat().st_size} bytes, not the {one.size} it claims.", hint="Do not trust this image.")
    if (found := Digest.of_file(path)) != one.digest:
        raise ImageDamaged(f"{one.digest} has the digest {found}.", hint="Do not trust this image.")


def _check_content(store: Store, blob: Path, layer: Layer, most: int | None) -> int:
    """The length of the tar in a blob. Also where a tree of that diff ID is here: whoever names one must have it."""
    again = "Push or import the image again."
    try:
        content = store.content(blob, most)
    except ImageDamaged as error:
        what = error.what if error.hint else f"The layer {layer.digest} cannot be read: {error.what}."
        raise ImageDamaged(what, hint=error.hint or again) from None
    if content.diff_id != layer.diff_id:
        raise ImageDamaged(f"The layer {layer.digest} holds {content.diff_id} instead of {layer.diff_id}.", hint=again)
    return content.length


def _check_machine(configuration: bytes) -> None:
    told = json.loads(configuration)
    meant, ours = told.get("architecture") or "", manifest.architecture(platform.machine())
    if meant and meant != ours:
        raise ImageDamaged(f"The image is for {meant}; this machine is {ours}.", hint=f"Name an image for linux/{ours}.")
    if (system := told.get("os") or "linux") != "linux":
        raise ImageDamaged(f"The image is for {system}; this machine runs Linux.", hint=f"Name an image for linux/{ours}.")
