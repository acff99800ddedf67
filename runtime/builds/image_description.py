"""Descriptions of images for callers without access to the store.

A description has the layers, what made each, and how to run the image.
"""

from __future__ import annotations

from dataclasses import dataclass

from runtime.builds.history import complete
from runtime.config import NodeConfig
from runtime.contract.quantities import Bytes
from runtime.images.digest import Digest
from runtime.images.inventory import read_note
from runtime.images.manifest import ImageConfig
from runtime.images.store import Store
from runtime.stacks.layer_names import layer_names


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerDescription:
    """A layer of an image."""

    digest: Digest
    diff_id: Digest
    size: Bytes  # of the blob
    unpacked: Bytes  # of its tar; 0 where it was never noted
    created_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageDescription:
    """An image; layers bottom first."""

    digest: Digest
    layers: tuple[LayerDescription, ...]
    config: ImageConfig


def describe(config: NodeConfig, images: Store, digest: str) -> ImageDescription:
    """Describe an image of the store. Raises ImageDamaged if it is not in the store."""
    layers = images.layers_of(digest)
    document, _ = images.configuration(images.manifest(digest))
    names = layer_names(config)
    steps = [
        step.created_by for step in complete(document, layers, names).history if not step.empty
    ]
    layer_descriptions = tuple(
        LayerDescription(
            digest=layer.digest,
            diff_id=layer.diff_id,
            size=Bytes(layer.size),
            unpacked=Bytes((read_note(images.record(layer.diff_id)) or {}).get("unpacked", 0)),
            created_by=text or names.get(layer.diff_id, ""),
        )
        for layer, text in zip(layers, steps, strict=True)
    )
    return ImageDescription(digest=Digest(digest), layers=layer_descriptions, config=document)
