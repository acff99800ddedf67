"""The catalogue of images for people: names, sizes on disk, and the history of layers.

It changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from runtime.config import NodeConfig
from runtime.contract.quantities import Bytes
from runtime.errors import NoSuchImage
from runtime.images.collect import is_of_platform
from runtime.images.digest import Digest
from runtime.images.inventory import ImageFacts, Inventory, read_note, take_inventory
from runtime.images.manifest import pair_layers
from runtime.images.store import Store

_PREFIX = re.compile(r"(?:sha256:)?([0-9a-f]{4,64})")


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedImage:
    """One line of `ls`.

    `own` are bytes of blobs in this image only, `shared` of blobs in others too.
    """

    digest: Digest
    names: tuple[str, ...]
    layers: int
    own: Bytes
    shared: Bytes
    used_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerHistory:
    """One line of `history`."""

    digest: Digest
    diff_id: Digest
    created_by: str
    size: Bytes  # of the blob
    unpacked: Bytes
    shared_with: tuple[str, ...]  # apps and given names of other images


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskUse:
    """One line of `df`."""

    what: str
    count: int
    size: Bytes


class Catalogue:
    """The content of a store at one moment."""

    def __init__(self, config: NodeConfig, store: Store) -> None:
        self._config, self._store = config, store
        self.inventory: Inventory = take_inventory(config, store)

    def find(self, reference: str) -> Digest:
        """Find an image by name, digest, or the start of a digest.

        Raises NoSuchImage if none or several match.
        """
        for image in self.inventory.images.values():
            if reference in image.names:
                return image.digest
        match = _PREFIX.fullmatch(reference)
        found = [
            digest for digest in self.inventory.images if match and digest.hex.startswith(match[1])
        ]
        if len(found) == 1:
            return found[0]
        if found:
            raise NoSuchImage(
                f"{len(found)} images have a digest that begins with {reference}.",
                hint="Write more digits of it.",
            )
        raise NoSuchImage(
            f"There is no image {reference}.", hint="`manage.py image ls` lists names and digests."
        )

    def images(self) -> list[ListedImage]:
        """Return all images by name, those without a name last."""
        users: dict[Digest, int] = {}
        for image in self.inventory.images.values():
            for digest in image.blobs:
                users[digest] = users.get(digest, 0) + 1
        return sorted(
            (self._listed(image, users) for image in self.inventory.images.values()),
            key=lambda image: (not image.names, image.names),
        )

    def history(self, digest: Digest) -> list[LayerHistory]:
        """Return the layers of an image with their history, topmost first."""
        document = self._store.manifest(digest)
        config, diff_ids = self._store.configuration(document)
        layers, noted = pair_layers(document, diff_ids), self._notes()
        steps = [step.created_by for step in config.history if not step.empty]
        is_app = any(is_of_platform(name) for name in self.inventory.images[digest].names)
        history = []
        for number, layer in enumerate(layers):
            created_by = (steps[number] if len(steps) == len(layers) else "") or noted.get(
                layer.diff_id, ""
            )
            if not created_by and is_app and number == len(layers) - 1:
                created_by = "App code"
            facts = self.inventory.layers.get(layer.diff_id)
            history.append(
                LayerHistory(
                    digest=layer.digest,
                    diff_id=layer.diff_id,
                    created_by=created_by,
                    size=Bytes(layer.size),
                    unpacked=Bytes(facts.unpacked if facts else 0),
                    shared_with=self._sharers(layer.diff_id, digest),
                )
            )
        return history[::-1]

    def disk_use(self, reclaimable: Bytes) -> list[DiskUse]:
        """Return the disk usage of the store, and what a collection would free."""
        blobs, layers = self.inventory.blobs.values(), self.inventory.layers.values()
        needed = {diff_id for image in self.inventory.images.values() for diff_id in image.diff_ids}
        spare = {entry.diff_id for entry in self.inventory.cache} - needed
        cached = [
            self.inventory.layers[diff_id] for diff_id in spare if diff_id in self.inventory.layers
        ]
        sources = [
            path.stat().st_size for path in self._config.sources.glob("[0-9a-f]*") if path.is_file()
        ]
        return [
            DiskUse(
                what="Images, compressed",
                count=len(self.inventory.images),
                size=Bytes(sum(blob.size for blob in blobs)),
            ),
            DiskUse(
                what="Layers, unpacked",
                count=len(layers),
                size=Bytes(sum(layer.unpacked for layer in layers)),
            ),
            DiskUse(
                what="  of these only kept for reuse",
                count=len(cached),
                size=Bytes(sum(layer.size + layer.unpacked for layer in cached)),
            ),
            DiskUse(what="Sources", count=len(sources), size=Bytes(sum(sources))),
            DiskUse(what="Garbage, for the next collection", count=0, size=reclaimable),
        ]

    def _listed(self, image: ImageFacts, users: Mapping[Digest, int]) -> ListedImage:
        sizes = {
            digest: blob.size
            for digest in image.blobs
            if (blob := self.inventory.blobs.get(digest))
        }
        own = sum(size for digest, size in sizes.items() if users[digest] == 1)
        return ListedImage(
            digest=image.digest,
            names=image.names,
            layers=len(image.diff_ids),
            own=Bytes(own),
            shared=Bytes(sum(sizes.values()) - own),
            used_at=image.used_at,
        )

    def _sharers(self, diff_id: Digest, but: Digest) -> tuple[str, ...]:
        names = (
            name
            for image in self.inventory.images.values()
            if diff_id in image.diff_ids and image.digest != but
            for name in image.names
        )
        return tuple(sorted(_owners(names)))

    def _notes(self) -> dict[Digest, str]:
        """Return the descriptions of layers in the build cache."""
        found = {}
        for entry in self.inventory.cache:
            note = read_note(entry.path) or {}
            found[entry.diff_id] = note.get("name") or ": ".join(
                word for word in (note.get("step"), note.get("reads")) if word
            )
        return found


def _owners(names: Iterable[str]) -> set[str]:
    """Return the apps of the platform's own names, and other names unchanged."""
    return {name.partition(":")[0] if is_of_platform(name) else name for name in names}
