"""Compute the savings by shared layers, and compare the layers of two images. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from portal.images.facts import ImageView, SharedLayer


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageTotals:
    """Sizes over some images, in compressed bytes."""

    images: int
    layers: int  # distinct layers
    stored: int  # each layer counted once
    alone: int  # the size if no layers were shared

    @property
    def saved(self) -> int:
        return self.alone - self.stored

    @property
    def percent(self) -> int:
        return round(100 * self.saved / self.alone) if self.alone else 0


def summed(views: Sequence[ImageView]) -> ImageTotals:
    """Sum up images. An image that occurs twice is counted once."""
    images = {view.digest: view for view in views}
    sizes = {
        layer.facts.diff_id: layer.facts.size for view in images.values() for layer in view.layers
    }
    return ImageTotals(
        images=len(images),
        layers=len(sizes),
        stored=sum(sizes.values()),
        alone=sum(view.size for view in images.values()),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedLayer:
    """A layer of a comparison: in "both", "before" or "after"."""

    layer: SharedLayer
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """The layers of two images, topmost first. Layers only in the later image are above those only
    in the earlier image."""

    layers: tuple[ComparedLayer, ...]
    common: int  # bytes
    added: int
    removed: int


def compared(before: ImageView | None, after: ImageView | None) -> Compared | None:
    """Compare two images. None if one of them is unknown."""
    if before is None or after is None:
        return None
    old, new = ({layer.facts.diff_id for layer in view.layers} for view in (before, after))
    lines = [
        ComparedLayer(layer=layer, where="after")
        for layer in after.layers
        if layer.facts.diff_id not in old
    ]
    lines += [
        ComparedLayer(layer=layer, where="before")
        for layer in before.layers
        if layer.facts.diff_id not in new
    ]
    lines += [
        ComparedLayer(layer=layer, where="both")
        for layer in after.layers
        if layer.facts.diff_id in old
    ]

    def size(where: str) -> int:
        return sum(line.layer.facts.size for line in lines if line.where == where)

    return Compared(
        layers=tuple(lines), common=size("both"), added=size("after"), removed=size("before")
    )
