"""The decision which objects of the store are garbage, from values alone.

`removal.py` removes them.

- An image is needed by a kept release, by a name that people gave, or by recent builds that start
  from it.
- A layer is needed by such an image, by a container, or by an entry of the build cache.
- A cache entry is needed while it was used recently and the cache is within its size.
- Every object used since `cutoff` is needed: a build in progress holds it (see use.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from runtime.contract.quantities import Bytes
from runtime.images.digest import Digest
from runtime.images.inventory import CacheEntry, ImageFacts, Inventory, PullNote

STEP_KEPT = 14 * 86_400.0  # seconds since its last use
STACK_KEPT = 60 * 86_400.0  # longer: a stack takes a minute to build, and most apps use it
# Names of builds and releases, removed with them.
_OF_PLATFORM = re.compile(r"[a-z0-9-]+:(?:build-|v)[0-9]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Roots:
    """The objects that are needed for reasons outside the store."""

    images: frozenset[str] = frozenset()  # manifest digests of kept releases and running instances
    names: frozenset[str] = frozenset()  # the platform's own names to keep
    layers: frozenset[Digest] = frozenset()  # diff IDs that containers use


@dataclass(frozen=True, slots=True, kw_only=True)
class Garbage:
    """The objects to remove, images first: so no listed image ever lacks a part."""

    names: tuple[str, ...]
    images: tuple[Digest, ...]
    cache: tuple[Path, ...]
    layers: tuple[Digest, ...]  # diff IDs; the tree and the record are removed
    blobs: tuple[Digest, ...]

    def describe(self) -> str:
        return (
            f"remove {_count(self.images, 'image')}, {_count(self.names, 'name')},"
            f" {_count(self.layers, 'layer')}, {_count(self.blobs, 'blob')} and"
            f" {_count(self.cache, 'record')} of the build cache"
        )


def is_of_platform(name: str) -> bool:
    """Return whether only builds or releases may give the name (`shop:v3`, `shop:build-7`)."""
    return _OF_PLATFORM.fullmatch(name) is not None


def is_of_stack(name: str) -> bool:
    """Return whether the name is of a stack's newest image."""
    return name.startswith("stack/")


def decide(
    inventory: Inventory, roots: Roots, *, now: float, cutoff: float, cache_size: int
) -> Garbage:
    """Return the garbage. Times are Unix seconds, `cache_size` is in bytes.

    `cutoff` is the start of the oldest work in progress.
    """
    pulls = _kept_pulls(inventory, now=now, cutoff=cutoff, cache_size=cache_size)
    held = {note.image for note in pulls} | _kept_stacks(inventory, now=now, cutoff=cutoff)
    kept = [
        image
        for image in inventory.images.values()
        if image.digest in held or _is_needed(image, roots, cutoff)
    ]
    diff_ids = {*roots.layers, *(diff_id for image in kept for diff_id in image.diff_ids)}
    blobs = {digest for image in kept for digest in image.blobs}
    diff_ids |= {
        layer.diff_id
        for layer in inventory.layers.values()
        if layer.used_at >= cutoff or layer.digest in blobs
    }
    notes = _kept_notes(
        inventory, frozenset(diff_ids), now=now, cutoff=cutoff, cache_size=cache_size
    )
    diff_ids |= {entry.diff_id for entry in notes}
    blobs |= {
        layer.digest
        for diff_id in diff_ids
        if (layer := inventory.layers.get(diff_id)) and layer.digest
    }
    paths = (*(entry.path for entry in inventory.cache), *(entry.path for entry in inventory.pulls))
    kept_images, kept_notes = (
        {image.digest for image in kept},
        {*(entry.path for entry in notes), *(entry.path for entry in pulls)},
    )
    return Garbage(
        names=tuple(
            sorted(
                name
                for image in kept
                for name in image.names
                if _is_old_name(name, image, roots, cutoff)
            )
        ),
        images=tuple(sorted(inventory.images.keys() - kept_images)),
        cache=tuple(path for path in paths if path not in kept_notes),
        layers=tuple(sorted(inventory.layers.keys() - diff_ids)),
        blobs=tuple(
            sorted(
                digest
                for digest, blob in inventory.blobs.items()
                if digest not in blobs and blob.used_at < cutoff
            )
        ),
    )


def size_of(garbage: Garbage, inventory: Inventory) -> Bytes:
    """Return its approximate size on disk: blobs exactly, trees as the length of their tar."""
    trees = sum(inventory.layers[diff_id].unpacked for diff_id in garbage.layers)
    return Bytes(trees + sum(inventory.blobs[digest].size for digest in garbage.blobs))


def _is_needed(image: ImageFacts, roots: Roots, cutoff: float) -> bool:
    given = (name for name in image.names if not is_of_platform(name) and not is_of_stack(name))
    return image.digest in roots.images or image.used_at >= cutoff or any(given)


def _kept_stacks(inventory: Inventory, *, now: float, cutoff: float) -> set[Digest]:
    """Return images of stacks whose layer was used recently, according to its cache entry."""
    fresh = {
        entry.diff_id
        for entry in inventory.cache
        if entry.stack and (entry.used_at >= cutoff or now - entry.used_at <= STACK_KEPT)
    }
    return {
        image.digest
        for image in inventory.images.values()
        if any(map(is_of_stack, image.names)) and fresh.issuperset(image.diff_ids)
    }


def _is_old_name(name: str, image: ImageFacts, roots: Roots, cutoff: float) -> bool:
    return is_of_platform(name) and name not in roots.names and image.used_at < cutoff


def _kept_pulls(
    inventory: Inventory, *, now: float, cutoff: float, cache_size: int
) -> list[PullNote]:
    """Return recently used images of registries, latest first, as many as fit into `cache_size`."""
    kept: list[PullNote] = []
    held: set[Digest] = set()
    left = cache_size
    for note in sorted(inventory.pulls, key=lambda note: note.used_at, reverse=True):
        image = inventory.images.get(note.image)
        if image is None:
            continue
        parts = [
            layer
            for diff_id in image.diff_ids
            if diff_id not in held and (layer := inventory.layers.get(diff_id))
        ]
        cost = sum(layer.size + layer.unpacked for layer in parts)
        if note.used_at < cutoff and (now - note.used_at > STEP_KEPT or cost > left):
            continue
        left -= cost
        held.update(image.diff_ids)
        kept.append(note)
    return kept


def _kept_notes(
    inventory: Inventory, needed: frozenset[Digest], *, now: float, cutoff: float, cache_size: int
) -> list[CacheEntry]:
    """Return the cache entries to keep: the latest used, as many as fit into `cache_size`.

    Entries of stacks, and of layers that are needed anyway, do not use up that size.
    """
    kept: list[CacheEntry] = []
    held, left = set(needed), cache_size
    for entry in sorted(inventory.cache, key=lambda entry: entry.used_at, reverse=True):
        layer = inventory.layers.get(entry.diff_id)
        if entry.used_at < cutoff:
            if layer is None or now - entry.used_at > (STACK_KEPT if entry.stack else STEP_KEPT):
                continue
            if not entry.stack and entry.diff_id not in held:
                if (cost := layer.size + layer.unpacked) > left:
                    continue
                left -= cost
        held.add(entry.diff_id)
        kept.append(entry)
    return kept


def _count(things: Iterable[object], noun: str) -> str:
    number = len(tuple(things))
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
