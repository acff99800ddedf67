"""The inventory of the store, as values: images, layers, blobs, and the records of the build cache.

Files with names of another form are ignored. So foreign files are never in an inventory and never
removed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime import journal
from runtime.config import NodeConfig
from runtime.errors import ImageDamaged
from runtime.images.digest import Digest
from runtime.images.store import Store

_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFacts:
    """One image of the index.

    `blobs` are its manifest, configuration and layers, as far as readable.
    """

    digest: Digest
    names: tuple[str, ...]
    blobs: frozenset[Digest]
    diff_ids: tuple[Digest, ...]  # bottom first
    used_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerFacts:
    """One layer that has a record, an unpacked tree, or both."""

    diff_id: Digest
    digest: Digest | None  # of its blob, if it has a record
    size: int  # bytes of the blob
    unpacked: int  # bytes of its tar, approximately the size of the tree
    used_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobFacts:
    digest: Digest
    size: int
    used_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheEntry:
    """A record of the build cache: the layer of a build step or of a stack, by its key."""

    path: Path
    diff_id: Digest
    stack: bool
    used_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PullNote:
    """A record of an image that was pulled from a registry as the base of builds."""

    path: Path
    image: Digest
    used_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    images: Mapping[Digest, ImageFacts]
    layers: Mapping[Digest, LayerFacts]
    blobs: Mapping[Digest, BlobFacts]
    cache: tuple[CacheEntry, ...]
    pulls: tuple[PullNote, ...] = ()


def take_inventory(config: NodeConfig, store: Store, *, also: Iterable[str] = ()) -> Inventory:
    """Read the whole store once. Objects that appear or vanish in the meantime may be missing.

    `also` are images to include even if the index does not list them.
    """
    return Inventory(
        images={image.digest: image for image in _images(store, also)},
        layers={layer.diff_id: layer for layer in _layers(config)},
        blobs={blob.digest: blob for blob in _blobs(config)},
        cache=tuple(_cache(config)),
        pulls=tuple(_pulls(config)),
    )


def _images(store: Store, also: Iterable[str]) -> Iterator[ImageFacts]:
    named, unnamed = store.index.read()
    names: dict[Digest, list[str]] = {image.digest: [] for image in (*named.values(), *unnamed)}
    names |= {
        Digest(digest): []
        for digest in also
        if Digest(digest) not in names and store.blob(Digest(digest)).exists()
    }
    for name, image in sorted(named.items()):
        names[image.digest].append(name)
    for digest, image_names in names.items():
        blobs: set[Digest] = {digest}
        diff_ids: tuple[Digest, ...] = ()
        try:
            document = store.manifest(digest)
            blobs |= {document.config.digest, *(layer.digest for layer in document.layers)}
            _, diff_ids = store.configuration(document)
        except (ImageDamaged, ValueError, KeyError):
            pass  # `verify` reports it; its known parts are kept
        used_at = _used(store.blob(digest)) or 0.0
        yield ImageFacts(
            digest=digest,
            names=tuple(image_names),
            blobs=frozenset(blobs),
            diff_ids=diff_ids,
            used_at=used_at,
        )


def _layers(config: NodeConfig) -> Iterator[LayerFacts]:
    for hexadecimal in sorted(
        {entry.name.removesuffix(".json") for entry in config.layers.iterdir()}
    ):
        if not _HEX.fullmatch(hexadecimal):
            continue
        diff_id = Digest(f"sha256:{hexadecimal}")
        path = config.layers / f"{hexadecimal}.json"
        used_at, record = _used(path), read_note(path)
        if used_at is None or record is None or "digest" not in record:
            yield LayerFacts(
                diff_id=diff_id,
                digest=None,
                size=0,
                unpacked=0,
                used_at=changed(config.layers / hexadecimal) or 0.0,
            )
        else:
            digest, size = Digest(record["digest"]), int(record["size"])
            yield LayerFacts(
                diff_id=diff_id,
                digest=digest,
                size=size,
                unpacked=record.get("unpacked", 3 * size),
                used_at=used_at,
            )


def _blobs(config: NodeConfig) -> Iterator[BlobFacts]:
    for path in (config.images / "blobs" / "sha256").iterdir():
        if _HEX.fullmatch(path.name):
            try:
                status = path.stat()
            except FileNotFoundError:
                continue
            yield BlobFacts(
                digest=Digest(f"sha256:{path.name}"), size=status.st_size, used_at=status.st_mtime
            )


def _cache(config: NodeConfig) -> Iterator[CacheEntry]:
    for path in sorted(config.cache.glob("*/*.json")):
        used_at = _used(path)
        document = read_note(path)
        if (
            used_at is not None
            and document is not None
            and "diff_id" in document
            and _HEX.fullmatch(path.stem)
        ):
            yield CacheEntry(
                path=path,
                diff_id=Digest(document["diff_id"]),
                stack=path.parent.name == "stacks",
                used_at=used_at,
            )


def _pulls(config: NodeConfig) -> Iterator[PullNote]:
    for path in sorted((config.cache / "pulls").glob("*.json")):
        used_at = _used(path)
        try:
            document = journal.read_json(path)
            image = Digest.parse(document["image"])
        except (ValueError, KeyError, TypeError):  # damaged or just removed: same as none
            continue
        if used_at is not None and _HEX.fullmatch(path.stem):
            yield PullNote(path=path, image=image, used_at=used_at)


def read_note(path: Path) -> dict[str, Any] | None:
    """Return a record; None if there is none or it is damaged, which has the same effect."""
    try:
        note = journal.read_json(path)
    except ValueError:
        return None
    return (
        note
        if isinstance(note, dict) and ("diff_id" in note or {"digest", "size"} <= note.keys())
        else None
    )


def changed(folder: Path) -> float | None:
    """Return when a tree was renamed to its place. Its mtime is part of the layer."""
    try:
        return os.stat(folder).st_ctime  # noqa: PTH116 - like _used, which reads the other time
    except FileNotFoundError:
        return None


def _used(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return None
