"""The verification of the store, and its repair.

It reads every blob, looks for every part of an image, and compares every unpacked layer.
A damaged blob cannot be repaired here, so it is reported with the images that need it.
A damaged unpacked layer can be unpacked again from its blob.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from runtime import journal
from runtime.config import NodeConfig
from runtime.errors import BuildFailed, ImageDamaged
from runtime.images.digest import Digest
from runtime.images.inventory import read_note, take_inventory
from runtime.images.scratch import remove_tree, scratch
from runtime.images.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """One damaged object. `layer` is the diff ID of an unpacked layer, which can be repaired."""

    what: str
    layer: Digest | None = None

    def describe(self) -> str:
        return self.what


def verify(config: NodeConfig, store: Store) -> list[Damage]:
    """Read everything and return the damage found. Work in progress is ignored."""
    with journal.lock(config.locks / "images-collect"):  # a removal in progress is not damage
        return [
            *_damaged_blobs(store),
            *_damaged_images(config, store),
            *_damaged_layers(config, store),
        ]


def repair(config: NodeConfig, store: Store, damage: Damage) -> str:
    """Unpack a damaged layer again from its blob, and return a sentence about it.

    Containers that use the damaged tree keep it, under another name, until `remove_replaced`.
    New containers get the repaired one. Raises ImageDamaged if the blob is damaged too.
    """
    assert damage.layer is not None, "only unpacked layers can be repaired"
    record = read_note(store.record(damage.layer))
    if record is None:
        raise ImageDamaged(
            f"The record of the layer {damage.layer} is missing, so its blob is unknown.",
            hint="Deploy the app again.",
        )
    place = config.layers / damage.layer.hex
    with scratch(config.layers / "ingest") as space, store.lease():
        tree = space / "tree"
        done = store.reader.unpack(Digest(record["digest"]), damage.layer, tree)
        with store.uses.taking():
            if place.exists():
                place.rename(place.with_name(f"{place.name}.replaced-{time.time_ns()}"))
            tree.rename(place)
        journal.write_json(store.record(damage.layer), {**record, "tree": done.tree}, 0o644)
    return (
        f"The layer {damage.layer.short} was unpacked again; running instances get it with their"
        " next restart."
    )


def remove_replaced(config: NodeConfig, standing: Mapping[str, float]) -> list[str]:
    """Remove damaged trees that no container uses.

    `standing` maps a layer (hex) to the creation time of its oldest container, in Unix seconds.
    """
    removed = []
    for path in sorted(config.layers.glob("*.replaced-*")):
        name, _, moment = path.name.partition(".replaced-")
        if moment.isdecimal() and standing.get(name, math.inf) > int(moment) / 1e9:
            remove_tree(path)
            removed.append(f"removed the damaged {path}")
    return removed


def _damaged_blobs(store: Store) -> list[Damage]:
    return [Damage(what=text) for text in store.damaged_blobs()]


def _damaged_images(config: NodeConfig, store: Store) -> list[Damage]:
    """Return the images of the index that lack a part."""
    found = []
    for image in take_inventory(config, store).images.values():
        names = ", ".join(image.names) or "without a name"
        found += [
            Damage(what=f"The image {image.digest} ({names}) lacks the blob {digest}.")
            for digest in sorted(image.blobs)
            if not store.blob(digest).exists()
        ]
        if not image.diff_ids and store.blob(image.digest).exists():
            found.append(Damage(what=f"The image {image.digest} ({names}) cannot be read."))
    return found


def _damaged_layers(config: NodeConfig, store: Store) -> list[Damage]:
    """Return the layers whose tree has changed since it was unpacked.

    The times of their top folder are ignored.
    """
    found = []
    for path in sorted(config.layers.glob("[0-9a-f]*.json")):
        diff_id, record = Digest(f"sha256:{path.stem}"), read_note(path)
        tree = config.layers / path.stem
        if (
            record is not None
            and tree.is_dir()
            and (is_now := _look(store, tree)) != record.get("tree", diff_id)
        ):
            found.append(
                Damage(what=f"The unpacked layer {tree} is damaged: {is_now}.", layer=diff_id)
            )
    return found


def _look(store: Store, tree: Path) -> str:
    try:
        return store.reader.fingerprint(tree)
    except (OSError, ImageDamaged, BuildFailed) as error:
        return f"it cannot be read ({error})"
