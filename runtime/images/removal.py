"""The removal of the garbage that `collect` chose, while builds run.

It may be killed at any moment.

An image leaves the index before its parts are removed. Parts are renamed into a folder that is
swept, so no part is ever incomplete. Under the gate each mark is checked again: recently used
objects stay.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from runtime import journal
from runtime.config import NodeConfig
from runtime.confined import answers, removal
from runtime.confined.session import Confinement
from runtime.contract.quantities import Bytes
from runtime.images.collect import Garbage, Roots, decide, size_of
from runtime.images.digest import Digest
from runtime.images.disk import disk_of
from runtime.images.inventory import changed, take_inventory
from runtime.images.scratch import scratch
from runtime.images.store import Store

GRACE = 600.0  # seconds that every object is kept after its last use, even without a lease
_AT_ONCE = 200  # objects removed while the gate is held once: a few milliseconds
_TRIES = 3  # decisions, in case an image is used between decision and removal


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """The result of a garbage collection."""

    images: int = 0
    layers: int = 0
    blobs: int = 0
    notes: int = 0
    freed: int = 0  # bytes on disk
    percent: float = 0.0  # disk usage afterwards

    def describe(self) -> str:
        what = (
            f"{self.images} images, {self.layers} layers, {self.blobs} blobs, {self.notes} records"
            " of the build cache"
        )
        return f"removed {what}: {Bytes(self.freed)} freed, the disk is {self.percent:.0f} % full"

    def __add__(self, other: Collected) -> Collected:
        return Collected(
            images=self.images + other.images,
            layers=self.layers + other.layers,
            blobs=self.blobs + other.blobs,
            notes=self.notes + other.notes,
            freed=self.freed + other.freed,
            percent=other.percent,
        )


class GarbageCollector:
    """The garbage collector of one store. If several processes try, one of them collects."""

    def __init__(self, config: NodeConfig, store: Store, *, grace: float = GRACE) -> None:
        self._config, self._store, self._grace = config, store, grace

    def preview(self, roots: Callable[[], Roots]) -> tuple[Garbage, Bytes]:
        """Return what `collect` would remove now with the cache at its usual size, and its size."""
        cutoff, needed = self._cutoff(), roots()
        inventory = take_inventory(self._config, self._store, also=needed.images)
        garbage = decide(
            inventory, needed, now=time.time(), cutoff=cutoff, cache_size=self._config.cache_size
        )
        return garbage, size_of(garbage, inventory)

    def collect(self, roots: Callable[[], Roots]) -> Collected | None:
        """Remove garbage. Return None if another process is collecting.

        Above `disk_high` the build cache is also reduced, until the disk is below `disk_low`.
        `roots` is called after the leases are read, so it includes builds that end in the meantime.
        """
        with journal.lock(self._config.locks / "images-collect", blocking=False) as held:
            if not held:
                return None
            self._store.sweep()
            size = self._config.cache_size
            done = self._round(roots, size)
            if done.percent >= self._config.disk_high:
                while done.percent > self._config.disk_low and size:
                    size = size // 4 if size > 1 << 20 else 0
                    done += self._round(roots, size)
            return done

    def _round(self, roots: Callable[[], Roots], cache_size: int) -> Collected:
        for _ in range(_TRIES):
            cutoff = self._cutoff()
            garbage = self._decide(roots, cutoff, cache_size)
            if self._forget_images(garbage, cutoff):
                notes = self._remove_notes(garbage.cache, cutoff)
                layers, blobs, freed = self._remove_parts(garbage, cutoff)
                percent = disk_of(self._config).percent
                return Collected(
                    images=len(garbage.images),
                    layers=layers,
                    blobs=blobs,
                    notes=notes,
                    freed=freed,
                    percent=percent,
                )
        return Collected(percent=disk_of(self._config).percent)

    def _decide(self, roots: Callable[[], Roots], cutoff: float, cache_size: int) -> Garbage:
        needed = roots()
        inventory = take_inventory(self._config, self._store, also=needed.images)
        return decide(inventory, needed, now=time.time(), cutoff=cutoff, cache_size=cache_size)

    def _cutoff(self) -> float:
        return self._store.uses.since() - self._grace

    def _forget_images(self, garbage: Garbage, cutoff: float) -> bool:
        """Remove images from the index with their manifests, so that they can no longer be used.

        Return False if one of them was used just now.
        """
        if not garbage.images and not garbage.names:
            return True
        going = set(garbage.images)
        with self._store.uses.removing():
            if any(_used_since(self._store.blob(digest), cutoff) for digest in going):
                return False
            with self._store.index.changing() as (named, unnamed):
                for name in [
                    name
                    for name, image in named.items()
                    if image.digest in going or name in garbage.names
                ]:
                    image = named.pop(name)
                    if image.digest not in {other.digest for other in (*named.values(), *unnamed)}:
                        unnamed.append(image)
                unnamed[:] = [image for image in unnamed if image.digest not in going]
            for digest in going:
                self._store.blob(digest).unlink(missing_ok=True)
        return True

    def _remove_notes(self, paths: Iterable[Path], cutoff: float) -> int:
        removed = 0
        for path in paths:
            if not _used_since(path, cutoff):
                path.unlink(missing_ok=True)
                removed += 1
        return removed

    def _remove_parts(self, garbage: Garbage, cutoff: float) -> tuple[int, int, int]:
        """Remove layers and blobs. Return the numbers of layers, blobs and bytes."""
        layers = blobs = freed = 0
        pending: list[tuple[Digest, bool]] = [
            *((digest, True) for digest in garbage.layers),
            *((digest, False) for digest in garbage.blobs),
        ]
        for start in range(0, len(pending), _AT_ONCE):
            with (
                scratch(self._config.layers / "ingest") as trees,
                scratch(self._config.images / "ingest") as files,
            ):
                with self._store.uses.removing():
                    for digest, is_layer in pending[start : start + _AT_ONCE]:
                        if is_layer:
                            layers += self._put_aside_layer(digest, trees, cutoff)
                        else:
                            blobs += self._put_aside_blob(digest, files, cutoff)
                freed += _remove_trees(trees)
                freed += _remove_files(files)
        return layers, blobs, freed

    def _put_aside_layer(self, diff_id: Digest, aside: Path, cutoff: float) -> bool:
        tree, record = (
            self._config.layers / diff_id.hex,
            self._config.layers / f"{diff_id.hex}.json",
        )
        if _used_since(record, cutoff) or (
            not record.exists() and (changed(tree) or 0.0) >= cutoff
        ):
            return False
        record.unlink(missing_ok=True)  # first: without it the layer cannot be found
        return _rename(tree, aside / diff_id.hex)

    def _put_aside_blob(self, digest: Digest, aside: Path, cutoff: float) -> bool:
        blob = self._store.blob(digest)
        return not _used_since(blob, cutoff) and _rename(blob, aside / digest.hex)


def _used_since(path: Path, moment: float) -> bool:
    try:
        return path.stat().st_mtime >= moment
    except FileNotFoundError:
        return False


def _rename(path: Path, to: Path) -> bool:
    try:
        path.rename(to)
    except FileNotFoundError:
        return False
    return True


def _remove_trees(folder: Path) -> int:
    """Remove unpacked layers, whose content is untrusted. Return the bytes freed."""
    if not any(folder.iterdir()):
        return 0
    with Confinement().session() as helper:
        top = helper.tree(folder, writable=True)
        size = answers.number(helper.call(removal.measure, top=top))
        helper.call(removal.empty, top=top)
    return size


def _remove_files(folder: Path) -> int:
    """Remove blobs and return the bytes freed. A blob with another hard link frees nothing."""
    size = 0
    for path in folder.iterdir():
        status = path.lstat()
        size += status.st_blocks * 512 if status.st_nlink == 1 else 0
        path.unlink()
    return size
