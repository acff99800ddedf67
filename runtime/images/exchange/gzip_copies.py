"""Copies of published images whose layers are compressed with gzip.

Docker before 23 cannot unpack zstd. A copy is made once, when such a client pulls the image. It is
in the image's served folder, so it is removed with the image.

    gzip/HEX-GZIPHEX            a layer of the store (HEX), compressed again; copies of several
                                images share it by hard links
    served/APP/IMAGE/GZIPHEX    a layer or the manifest of the copy
    served/APP/IMAGE/gzip       a symbolic link whose text is the hex of the copy's manifest
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from runtime import journal
from runtime.config import NodeConfig
from runtime.confined import answers
from runtime.confined.session import Confinement
from runtime.images import manifest
from runtime.images.digest import Digest
from runtime.images.layers import packing
from runtime.images.layers.compression import Compression
from runtime.images.manifest import Descriptor
from runtime.images.scratch import scratch
from runtime.images.store import Store

POINTER = "gzip"
_MANIFEST = "manifest"  # as in runtime.images.exchange.published
_KEPT = 3600.0  # seconds since the last use; longer than a copy is made


class GzipCopies:
    """The copies of one node."""

    def __init__(self, config: NodeConfig, store: Store) -> None:
        self._config, self._store = config, store
        self._place, self._drafts = config.registry / "gzip", config.registry / "ingest"

    def make(self, app: int, image: str, *, team: int) -> bool:
        """Make the copy of a published image. A helper of the team compresses the layers.

        Return False if the image is not published, or the copy is being made. Raises ImageDamaged.
        """
        hexadecimal = Digest(image).hex
        folder = self._config.served / str(app) / hexadecimal
        lock = self._config.locks / f"gzip-{app}-{hexadecimal}"
        with journal.lock(lock, blocking=False) as held:
            if not held or not folder.is_dir():
                return False
            if not (folder / POINTER).is_symlink():
                self._make(folder, team)
        return True

    def remove_unused(self, now: float) -> int:
        """Remove compressed layers of images that are no longer published. Return their number."""
        removed = 0
        for path in self._place.iterdir() if self._place.is_dir() else ():
            status = path.stat()
            if status.st_nlink == 1 and now - status.st_mtime > _KEPT:
                path.unlink()
                removed += 1
        return removed

    def _make(self, folder: Path, team: int) -> None:
        original = Digest(f"sha256:{(folder / _MANIFEST).readlink()}")
        with self._store.lease():
            document = self._store.manifest(original)
            layers = []
            for layer in document.layers:
                if layer.media_type != manifest.LAYER_ZSTD:
                    layers.append(layer)
                    continue
                path, copied = self._compressed(layer, team)
                with suppress(FileExistsError):
                    os.link(path, folder / copied.digest.hex)
                layers.append(copied)
        data = manifest.render_copy(document, layers)
        name = Digest.of(data).hex
        journal.write_atomic(folder / name, data, 0o644)
        (folder / POINTER).symlink_to(name)
        journal.sync_folder(folder)

    def _compressed(self, layer: Descriptor, team: int) -> tuple[Path, Descriptor]:
        """Return a layer's copy, made if there is none. The same layer always has the same copy."""
        self._place.mkdir(mode=0o700, exist_ok=True)
        self._drafts.mkdir(mode=0o700, exist_ok=True)
        for path in self._place.glob(f"{layer.digest.hex}-*"):
            os.utime(path)
            return path, _described(path)
        with scratch(self._drafts) as space:
            draft = space / "layer"
            with (
                self._store.blob(layer.digest).open("rb") as blob,
                draft.open("wb") as file,
                Confinement().session(team) as helper,
            ):
                packed = helper.call(
                    packing.recompress, blob=blob, into=file, compression=Compression.GZIP.value
                )
                os.fsync(file.fileno())
            digest = answers.parsed(Digest.parse, packed)
            draft.chmod(0o644)
            path = self._place / f"{layer.digest.hex}-{digest.hex}"
            draft.rename(path)
        journal.sync_folder(self._place)
        return path, _described(path)


def _described(path: Path) -> Descriptor:
    return Descriptor(
        media_type=manifest.LAYER_GZIP,
        digest=Digest(f"sha256:{path.name.rpartition('-')[2]}"),
        size=path.stat().st_size,
    )
