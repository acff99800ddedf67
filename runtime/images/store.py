"""The image store of a node: an OCI image layout (image-layout.md), and its unpacked layers.

Skopeo, podman and registry tools can read `config.images`. `config.layers/<diff ID hex>` is a layer
as a directory tree, ready as an overlay's lower layer. It can always be unpacked again from its
blob. Each file and folder is written elsewhere, synced and renamed, so it is never incomplete. Work
in progress is held by flock, so that a sweep removes only leftovers.
"""

from __future__ import annotations

import errno
import json
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from runtime import journal
from runtime.config import NodeConfig
from runtime.confined import answers
from runtime.confined.session import PLATFORM, Confinement
from runtime.errors import ImageDamaged
from runtime.images import manifest
from runtime.images.confined_reader import ConfinedReader, sync_file_system
from runtime.images.digest import Digest
from runtime.images.index import Index
from runtime.images.layers import packing
from runtime.images.layers.compression import Compression
from runtime.images.manifest import Descriptor, ImageConfig, Layer, Manifest
from runtime.images.reference import Tag
from runtime.images.scratch import scratch, sweep
from runtime.images.use import Uses, mark

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image that can be run: its layers are unpacked on disk, topmost first."""

    digest: Digest
    config: ImageConfig
    layers: tuple[Path, ...]
    size: int  # bytes of all layers, compressed


class Store:
    """The image store of one node; any number of processes may use it at once."""

    def __init__(self, config: NodeConfig, confinement: Confinement | None = None) -> None:
        self._config, self._confinement = config, confinement or Confinement()
        self._blobs = config.images / "blobs" / "sha256"
        self._ingest = config.images / "ingest"
        self._half_unpacked = config.layers / "ingest"
        # Only root may read the tenants' code, whatever modes their builds have set.
        for folder in (config.images, config.layers):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.chmod(0o700)
        for folder in (self._blobs, self._ingest, self._half_unpacked):
            folder.mkdir(parents=True, exist_ok=True)
        layout = config.images / "oci-layout"
        if not layout.exists():
            journal.write_atomic(
                layout, json.dumps({"imageLayoutVersion": "1.0.0"}).encode(), 0o644
            )
        self.uses, self.index = Uses(config), Index(config)
        self.reader = ConfinedReader(blobs=self._blobs, confinement=self._confinement)

    def lease(self) -> AbstractContextManager[None]:
        """Hold a lease during a build or import: objects used since its start are kept."""
        return self.uses.lease()

    def add_layer(
        self,
        tree: Path,
        *,
        move: bool = False,
        compression: Compression = Compression.ZSTD,
        team: int = PLATFORM,
    ) -> Layer:
        """Store a tree (an overlay's upper with real ids) as a layer, packed and unpacked.

        `move` takes the tree instead of copying it, which is free on the same file system. An
        existing layer is shared. A confined helper reads the tree, under the limits of `team`.
        """
        with scratch(self._half_unpacked) as space, scratch(self._ingest) as blobs:
            unpacked, partial = space / "tree", blobs / "blob"
            with self._confinement.shared_session(team) as helper, partial.open("wb") as blob:
                if not (move and _moved(tree, unpacked)):
                    unpacked.mkdir()
                    helper.call(
                        packing.copy,
                        source=helper.tree(tree),
                        target=helper.tree(unpacked, writable=True),
                    )
                packed = helper.call(
                    packing.pack,
                    top=helper.tree(unpacked, writable=True),
                    blob=blob,
                    compression=compression.value,
                )
                os.fsync(blob.fileno())
            if not packed.synced:
                sync_file_system(unpacked)
            layer = _layer(packed, partial, compression)
            answers.number(packed.length)
            with self.uses.taking():
                self._place_blob(partial, layer.digest)
                self._place(unpacked, layer.diff_id)
                self._remember(layer, unpacked=packed.length, tree=layer.diff_id)
        return layer

    def layer(self, diff_id: Digest) -> Layer | None:
        """Return a layer by the digest of its tar, or None if the layer or its blob is missing."""
        path = self.record(diff_id)
        with self.uses.taking():
            try:
                record = journal.read_json(path)
                kind = record.get("media_type", manifest.LAYER_ZSTD)
                layer = Layer(
                    digest=Digest(record["digest"]),
                    diff_id=diff_id,
                    size=record["size"],
                    media_type=kind,
                )
            except (KeyError, TypeError, ValueError, AttributeError):  # missing or damaged
                return None
            return layer if mark(self.blob(layer.digest)) and mark(path) else None

    def write_image(
        self,
        layers: Sequence[Layer],
        config: ImageConfig,
        annotations: Mapping[str, str] | None = None,
    ) -> Digest:
        """Store an image of `layers`, bottom first, and list it in the index.

        Same input, same digest.
        """
        with self.uses.taking():
            self._mark(layers)
            diff_ids = [layer.diff_id for layer in layers]
            written = self._write_blob(
                manifest.render_config(config, diff_ids, machine=platform.machine())
            )
            pointer = Descriptor(media_type=manifest.CONFIG, digest=written[0], size=written[1])
            digest, size = self._write_blob(
                manifest.render_manifest(pointer, layers, annotations or {})
            )
            self.list_image(Descriptor(media_type=manifest.MANIFEST, digest=digest, size=size))
        return digest

    def list_image(self, image: Descriptor) -> None:
        """Add an image, whose parts are all in the store, to the index."""
        with self.index.changing() as (named, unnamed):
            if image.digest not in {listed.digest for listed in (*named.values(), *unnamed)}:
                unnamed.append(image)

    def take_blob(self, path: Path, digest: Digest) -> None:
        """Move a file, whose digest was verified, into the store, unless the blob exists."""
        journal.sync_file(path)
        with self.uses.taking():
            if not mark(self.blob(digest)):
                mark(path)
                self._place_blob(path, digest)

    def image(self, digest: str) -> Image:
        """Return an image ready to run, and unpack its layers if needed.

        Raises ImageDamaged if a part is missing.
        """
        document = self.manifest(digest)
        config, diff_ids = self.configuration(document)
        paths = [
            self.unpacked(layer) for layer in reversed(manifest.pair_layers(document, diff_ids))
        ]
        return Image(
            digest=Digest(digest),
            config=config,
            layers=tuple(paths),
            size=sum(blob.size for blob in document.layers),
        )

    def layers_of(self, digest: str) -> tuple[Layer, ...]:
        """Return the layers of an image, bottom first, as the base of another image."""
        document = self.manifest(digest)
        _, diff_ids = self.configuration(document)
        layers = manifest.pair_layers(document, diff_ids)
        with self.uses.taking():
            self._mark(layers)
        return layers

    def tag(self, name: str, digest: str) -> None:
        """Give an image of the store a name, and remove the name from any other image."""
        tag = Tag.parse(name)
        with self.uses.taking(), self.index.changing() as (named, unnamed):
            if not mark(self.blob(Digest.parse(digest))):
                raise ImageDamaged(
                    f"{digest} is not in the image store {self._config.images}.",
                    hint="Use an image that `ls` lists.",
                )
            size = self.blob(Digest(digest)).stat().st_size
            previous = named.get(tag)
            named[tag] = Descriptor(media_type=manifest.MANIFEST, digest=Digest(digest), size=size)
            unnamed[:] = [image for image in unnamed if image.digest != digest]
            if previous and previous.digest not in {
                image.digest for image in (*named.values(), *unnamed)
            }:
                unnamed.append(previous)

    def untag(self, name: str) -> None:
        """Remove a name; the image stays. Succeeds if the name does not exist."""
        with self.index.changing() as (named, unnamed):
            previous = named.pop(name, None)
            if previous and previous.digest not in {
                image.digest for image in (*named.values(), *unnamed)
            }:
                unnamed.append(previous)

    def find(self, name: str) -> Digest | None:
        """Return the digest of a named image, or None."""
        named, _ = self.index.read()
        return named[name].digest if name in named else None

    def manifest(self, digest: str) -> Manifest:
        """Return an image's manifest.

        Raises ImageDamaged if it is missing or has another digest.
        """
        return self._document(Digest.parse(digest), manifest.parse_manifest)

    def configuration(self, document: Manifest) -> tuple[ImageConfig, tuple[Digest, ...]]:
        """Return an image's configuration and its diff IDs, bottom first."""
        return self._document(document.config.digest, manifest.parse_config)

    def unpacked(self, layer: Layer) -> Path:
        """Return the layer's directory tree, and unpack it if needed.

        Raises ImageDamaged if its blob is damaged.
        """
        path = self._config.layers / layer.diff_id.hex
        if not path.is_dir():
            with scratch(self._half_unpacked) as space:
                tree = space / "tree"
                done = self.reader.unpack(layer.digest, layer.diff_id, tree)
                with self.uses.taking():
                    self._place(tree, layer.diff_id)
                    self._remember(layer, unpacked=done.length, tree=done.tree)
        return path

    def blob(self, digest: Digest) -> Path:
        return self._blobs / digest.hex

    def verify(self) -> list[str]:
        """Read every blob. Return a sentence for each one that is damaged or missing."""
        named, unnamed = self.index.read()
        listed = {image.digest for image in (*named.values(), *unnamed)}
        missing = sorted(digest for digest in listed if not self.blob(digest).exists())
        return [
            *self.damaged_blobs(),
            *(f"The index lists {digest}, which is not in {self._blobs}." for digest in missing),
        ]

    def damaged_blobs(self) -> list[str]:
        """Read every blob. Return a sentence for each one whose content has another digest."""
        found = (
            (blob, Digest.of_file(blob))
            for blob in sorted(self._blobs.glob("[0-9a-f]*"))
            if blob.is_file()
        )
        return [
            f"The blob {blob} is damaged: its bytes have the digest {digest}."
            for blob, digest in found
            if digest.hex != blob.name
        ]

    def sweep(self) -> list[str]:
        """Remove unfinished work of killed processes, and return a sentence for each."""
        return [*sweep(self._ingest), *sweep(self._half_unpacked)]

    def _mark(self, layers: Sequence[Layer]) -> None:
        """Mark the layers as used by an image. The caller holds the gate."""
        for layer in layers:
            mark(self.record(layer.diff_id))
            if not mark(self.blob(layer.digest)):
                raise ImageDamaged(
                    f"The layer {layer.digest} is not in the store.", hint="Deploy the app again."
                )

    def _write_blob(self, data: bytes) -> tuple[Digest, int]:
        digest = Digest.of(data)
        if not mark(self.blob(digest)):
            journal.write_atomic(self.blob(digest), data, 0o644)
        return digest, len(data)

    def _place_blob(self, partial: Path, digest: Digest) -> None:
        partial.chmod(0o644)
        partial.rename(self.blob(digest))
        journal.sync_folder(self._blobs)

    def _place(self, unpacked: Path, diff_id: Digest) -> None:
        """Rename a synced tree to its final name."""
        try:
            unpacked.rename(self._config.layers / diff_id.hex)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            return  # another build has made the same layer
        journal.sync_folder(self._config.layers)

    def _document(self, digest: Digest, parse: Callable[[bytes], T]) -> T:
        try:
            data = self.blob(digest).read_bytes()
        except FileNotFoundError:
            raise ImageDamaged(
                f"{digest} is not in the image store {self._config.images}.",
                hint="Deploy the app again.",
            ) from None
        if Digest.of(data) != digest:
            raise ImageDamaged(
                f"The blob {self.blob(digest)} has another digest than its name.",
                hint="Deploy the app again.",
            )
        return parse(data)

    def _remember(self, layer: Layer, *, unpacked: int, tree: Digest) -> None:
        """Store the layer's record.

        `unpacked` is the length of its tar in bytes, `tree` its fingerprint.
        """
        record = {
            "digest": layer.digest,
            "size": layer.size,
            "media_type": layer.media_type,
            "unpacked": unpacked,
            "tree": tree,
        }
        journal.write_json(self.record(layer.diff_id), record, 0o644)

    def record(self, diff_id: Digest) -> Path:
        return self._config.layers / f"{diff_id.hex}.json"


def _layer(packed: packing.Packed, blob: Path, compression: Compression) -> Layer:
    """Return the layer of a blob that a helper wrote.

    The digest is computed here, not by the helper.
    """
    digest = Digest.of_file(blob)
    kind = manifest.LAYER_ZSTD if compression is Compression.ZSTD else manifest.LAYER_GZIP
    return Layer(
        digest=digest,
        diff_id=answers.parsed(Digest.parse, packed.diff_id),
        size=blob.stat().st_size,
        media_type=kind,
    )


def _moved(tree: Path, unpacked: Path) -> bool:
    """Rename a tree. Return False if the target is on another file system."""
    try:
        tree.rename(unpacked)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        return False
    return True
