"""Is the store what it says? Every blob read again, every image's parts looked for, every unpacked layer compared; and repair.

A blob cannot be made again here: its damage is named, with who needs it. An unpacked layer can, from its blob.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from runtime import journal
from runtime.config import NodeConfig
from runtime.errors import ImageDamaged
from runtime.images.digest import Digest
from runtime.images.inventory import read_note, take_inventory
from runtime.images.scratch import remove_tree, scratch
from runtime.images.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """One thing that is not what its name says. `layer`: the diff ID of an unpacked layer, which can be repaired."""

    what: str
    layer: Digest | None = None

    def describe(self) -> str:
        return self.what


def verify(config: NodeConfig, store: Store) -> list[Damage]:
    """Read everything; what is wrong, in a sentence each. Work in progress is not looked at."""
    with journal.lock(config.locks / "images-collect"):  # what is being removed is no damage
        return [*_damaged_blobs(store), *_damaged_images(config, store), *_damaged_layers(config, store)]


def repair(config: NodeConfig, store: Store, damage: Damage) -> str:
    """Unpack a damaged layer anew from its blob; what was done, in a sentence. ImageDamaged: its blob is damaged too.

    Containers that stand on the damaged tree keep it, under another name, until `remove_replaced`; new ones get the good one.
    """
    assert damage.layer is not None, "only unpacked layers can be repaired"
    record = read_note(store.record(damage.layer))
    if record is None:
        raise ImageDamaged(f"Nothing tells which blob the layer {damage.layer} is in.", hint="Deploy the app again.")
    place = config.layers / damage.layer.hex
    with scratch(config.layers / "ingest") as space, store.lease():
        tree = space / "tree"
        done = store.unpack(Digest(record["digest"]), damage.layer, tree)
        with store.uses.taking():
            if place.exists():
                place.rename(place.with_name(f"{place.name}.replaced-{time.time_ns()}"))
            tree.rename(place)
        journal.write_json(store.record(damage.layer), {**record, "tree": done.fingerprint}, 0o644)
    return f"The layer {damage.layer.short} was unpacked anew; instances that run on it get it with their next restart."


def remove_replaced(config: NodeConfig, standing: Mapping[str, float]) -> list[str]:
    """Remove damaged trees no container stands on. `standing`: layer (hex) to when its oldest container was made, Unix seconds."""
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
    """Images of the index that lack a part."""
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
    """Unpacked layers that differ from what they were when they were unpacked, but for the times of their top folder."""
    found = []
    for path in sorted(config.layers.glob("[0-9a-f]*.json")):
        diff_id, record = Digest(f"sha256:{path.stem}"), read_note(path)
        tree = config.layers / path.stem
        if record is not None and tree.is_dir() and (is_now := _look(store, tree)) != record.get("tree", diff_id):
            found.append(Damage(what=f"The unpacked layer {tree} is damaged: {is_now}.", layer=diff_id))
    return found


def _look(store: Store, tree: Path) -> str:
    try:
        return store.fingerprint(tree)
    except (OSError, ImageDamaged) as error:
        return f"it cannot be read ({error})"
