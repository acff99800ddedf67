"""Garbage: what of the store nobody needs, decided from values alone. `apply` in removal.py does it.

An image is needed while a kept release, a name that somebody gave, or work in progress has it, or while builds began with it
lately; a layer while such an image, a
container or a note of the build cache has it; a note while it was used lately and the cache is within its size. Everything used
since `cutoff` is needed as well: a build that is under way holds it (see use.py).
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
STACK_KEPT = 60 * 86_400.0  # a minute to build again, and under most apps
_OF_PLATFORM = re.compile(r"[a-z0-9-]+:(?:build-|v)[0-9]+")  # names that builds and releases give, and that go with them


@dataclass(frozen=True, slots=True, kw_only=True)
class Roots:
    """What is needed for reasons the store does not know."""

    images: frozenset[str] = frozenset()  # manifest digests: of kept releases, and of what runs
    names: frozenset[str] = frozenset()  # of the platform's own names, those to keep
    layers: frozenset[Digest] = frozenset()  # diff IDs that containers stand on


@dataclass(frozen=True, slots=True, kw_only=True)
class Garbage:
    """What may go. Images before layers and blobs, so that nothing listed ever lacks a part."""

    names: tuple[str, ...]
    images: tuple[Digest, ...]
    cache: tuple[Path, ...]
    layers: tuple[Digest, ...]  # diff IDs: tree and record
    blobs: tuple[Digest, ...]

    def describe(self) -> str:
        return (
            f"remove {_count(self.images, 'image')}, {_count(self.names, 'name')}, {_count(self.layers, 'layer')}, "
            f"{_count(self.blobs, 'blob')} and {_count(self.cache, 'note')} of the build cache"
        )


def is_of_platform(name: str) -> bool:
    """Whether a name is one that builds and releases give (`shop:v3`, `shop:build-7`), which people may not."""
    return _OF_PLATFORM.fullmatch(name) is not None


def is_of_stack(name: str) -> bool:
    """Whether a name is one that a stack's newest image has."""
    return name.startswith("stack/")


def decide(inventory: Inventory, roots: Roots, *, now: float, cutoff: float, cache_size: int) -> Garbage:
    """What nobody needs. Times are Unix seconds; `cutoff`: when the oldest work in progress began; `cache_size`: bytes."""
    pulls = _kept_pulls(inventory, now=now, cutoff=cutoff, cache_size=cache_size)
    held = {note.image for note in pulls} | _kept_stacks(inventory, now=now, cutoff=cutoff)
    kept = [one for one in inventory.images.values() if one.digest in held or _is_needed(one, roots, cutoff)]
    diff_ids = {*roots.layers, *(diff_id for one in kept for diff_id in one.diff_ids)}
    blobs = {digest for one in kept for digest in one.blobs}
    diff_ids |= {one.diff_id for one in inventory.layers.values() if one.used_at >= cutoff or one.digest in blobs}
    notes = _kept_notes(inventory, frozenset(diff_ids), now=now, cutoff=cutoff, cache_size=cache_size)
    diff_ids |= {entry.diff_id for entry in notes}
    blobs |= {layer.digest for diff_id in diff_ids if (layer := inventory.layers.get(diff_id)) and layer.digest}
    paths = (*(entry.path for entry in inventory.cache), *(entry.path for entry in inventory.pulls))
    kept_images, kept_notes = {one.digest for one in kept}, {*(entry.path for entry in notes), *(entry.path for entry in pulls)}
    return Garbage(
        names=tuple(sorted(name for one in kept for name in one.names if _is_old_name(name, one, roots, cutoff))),
        images=tuple(sorted(inventory.images.keys() - kept_images)),
        cache=tuple(path for path in paths if path not in kept_notes),
        layers=tuple(sorted(inventory.layers.keys() - diff_ids)),
        blobs=tuple(sorted(digest for digest, one in inventory.blobs.items() if digest not in blobs and one.used_at < cutoff)),
    )


def size_of(garbage: Garbage, inventory: Inventory) -> Bytes:
    """What it takes on disk, nearly: blobs exactly, trees as the length of their tar."""
    trees = sum(inventory.layers[diff_id].unpacked for diff_id in garbage.layers)
    return Bytes(trees + sum(inventory.blobs[digest].size for digest in garbage.blobs))


def _is_needed(image: ImageFacts, roots: Roots, cutoff: float) -> bool:
    given = (name for name in image.names if not is_of_platform(name) and not is_of_stack(name))
    return image.digest in roots.images or image.used_at >= cutoff or any(given)


def _kept_stacks(inventory: Inventory, *, now: float, cutoff: float) -> set[Digest]:
    """Images of stacks whose layer was used lately: they come and go with its note."""
    fresh = {entry.diff_id for entry in inventory.cache if entry.stack and (entry.used_at >= cutoff or now - entry.used_at <= STACK_KEPT)}
    return {one.digest for one in inventory.images.values() if any(map(is_of_stack, one.names)) and fresh.issuperset(one.diff_ids)}


def _is_old_name(name: str, image: ImageFacts, roots: Roots, cutoff: float) -> bool:
    return is_of_platform(name) and name not in roots.names and image.used_at < cutoff


def _kept_pulls(inventory: Inventory, *, now: float, cutoff: float, cache_size: int) -> list[PullNote]:
    """Images of registries used lately, the latest first, as many as fit into the size of the cache."""
    kept: list[PullNote] = []
    held: set[Digest] = set()
    left = cache_size
    for note in sorted(inventory.pulls, key=lambda note: note.used_at, reverse=True):
        image = inventory.images.get(note.image)
        if image is None:
            continue
        parts = [layer for diff_id in image.diff_ids if diff_id not in held and (layer := inventory.layers.get(diff_id))]
        cost = sum(layer.size + layer.unpacked for layer in parts)
        if note.used_at < cutoff and (now - note.used_at > STEP_KEPT or cost > left):
            continue
        left -= cost
        held.update(image.diff_ids)
        kept.append(note)
    return kept


def _kept_notes(inventory: Inventory, needed: frozenset[Digest], *, now: float, cutoff: float, cache_size: int) -> list[CacheEntry]:
    """Notes whose layers others need cost nothing; of the rest the latest used, as many as fit. Stacks do not count."""
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
