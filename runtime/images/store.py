"""Images of this node: an OCI image layout on disk (image-layout.md), and each layer unpacked once for all its users.

`config.images` opens with skopeo, podman or any registry tool. `config.layers/<diff ID hex>` is that layer as a directory tree,
ready to be an overlay's lower one; it can always be made again from its blob. Every file and folder appears whole or not at all:
it is written beside its place, synced and renamed. What is half-made is held by flock, so a sweep can tell it from a leftover.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar, cast

import zstandard

from runtime import journal, process
from runtime.config import NodeConfig
from runtime.errors import ImageDamaged
from runtime.images import manifest
from runtime.images.digest import Digest
from runtime.images.layers import normalise_opaque, unpack_tar, write_tar
from runtime.images.manifest import Descriptor, ImageConfig, Layer
from runtime.images.reference import Tag
from runtime.images.scratch import scratch, sweep

T = TypeVar("T")

_LEVEL = 3  # KERNEL.md: -19 takes sixty times as long for 8 % less
_FEW_FILES = 64  # up to here each file is synced by itself; above, the whole file system at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image that can be run: its layers are on disk, topmost first."""

    digest: Digest
    config: ImageConfig
    layers: tuple[Path, ...]
    size: int  # bytes, all layers compressed


class Store:
    """The image store of one node; any number of processes may use it at once."""

    def __init__(self, config: NodeConfig) -> None:
        self._config = config
        self._blobs = config.images / "blobs" / "sha256"
        self._ingest = config.images / "ingest"
        self._half_unpacked = config.layers / "ingest"
        for folder in (config.images, config.layers):  # tenants' code, and whatever modes their builds gave it: for root's eyes alone
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.chmod(0o700)
        for folder in (self._blobs, self._ingest, self._half_unpacked):
            folder.mkdir(parents=True, exist_ok=True)
        layout = config.images / "oci-layout"
        if not layout.exists():
            journal.write_atomic(layout, json.dumps({"imageLayoutVersion": "1.0.0"}).encode(), 0o644)

    def add_layer(self, tree: Path, *, move: bool = False) -> Layer:
        """Store a tree (an overlay's upper with real ids) as a layer: its blob, and the tree itself as the unpacked one.

        `move` gives the tree away, which costs nothing on one file system; else it is copied. A layer already there is shared.
        """
        with scratch(self._half_unpacked) as space:
            unpacked = space / "tree"
            _take(tree, unpacked, move=move)
            normalise_opaque(unpacked)
            layer = self._write_layer_blob(unpacked)
            self._place(unpacked, layer.diff_id)
        journal.write_json(self._record(layer.diff_id), {"digest": layer.digest, "size": layer.size}, 0o644)
        return layer

    def layer(self, diff_id: Digest) -> Layer | None:
        """A layer by the digest of its tar, or None where the store has no such (or lost its blob)."""
        try:
            record = journal.read_json(self._record(diff_id))
            layer = Layer(digest=Digest(record["digest"]), diff_id=diff_id, size=record["size"])
        except (KeyError, TypeError, ValueError):  # nothing there, or damaged: the same as never built
            return None
        return layer if self.blob(layer.digest).exists() else None

    def write_image(self, layers: Sequence[Layer], config: ImageConfig, annotations: Mapping[str, str] | None = None) -> Digest:
        """Store an image of `layers`, bottom first, and list it in the index; the same input gives the same digest."""
        written = self._write_blob(manifest.render_config(config, [layer.diff_id for layer in layers], machine=platform.machine()))
        pointer = Descriptor(media_type=manifest.CONFIG, digest=written[0], size=written[1])
        digest, size = self._write_blob(manifest.render_manifest(pointer, layers, annotations or {}))
        with self._index() as (named, unnamed):
            if digest not in {one.digest for one in (*named.values(), *unnamed)}:
                unnamed.append(Descriptor(media_type=manifest.MANIFEST, digest=digest, size=size))
        return digest

    def image(self, digest: str) -> Image:
        """An image ready to run; a layer that is not unpacked is unpacked now. ImageDamaged: it, or a blob of it, is not there."""
        document = self._document(Digest.parse(digest), manifest.parse_manifest)
        config, diff_ids = self._document(document.config.digest, manifest.parse_config)
        pairs = list(zip(document.layers, diff_ids, strict=True))
        paths = [self._unpacked(blob.digest, diff_id) for blob, diff_id in reversed(pairs)]
        return Image(digest=Digest(digest), config=config, layers=tuple(paths), size=sum(blob.size for blob in document.layers))

    def layers_of(self, digest: str) -> tuple[Layer, ...]:
        """The layers of an image, bottom first, to build another on."""
        document = self._document(Digest.parse(digest), manifest.parse_manifest)
        _, diff_ids = self._document(document.config.digest, manifest.parse_config)
        pairs = zip(document.layers, diff_ids, strict=True)
        return tuple(Layer(digest=blob.digest, diff_id=diff_id, size=blob.size) for blob, diff_id in pairs)

    def tag(self, name: str, digest: str) -> None:
        """Give an image of the store a name; the name leaves whatever had it."""
        tag, size = Tag.parse(name), self.blob(Digest.parse(digest)).stat().st_size
        with self._index() as (named, unnamed):
            previous = named.get(tag)
            named[tag] = Descriptor(media_type=manifest.MANIFEST, digest=Digest(digest), size=size)
            unnamed[:] = [one for one in unnamed if one.digest != digest]
            if previous and previous.digest not in {one.digest for one in (*named.values(), *unnamed)}:
                unnamed.append(previous)

    def untag(self, name: str) -> None:
        """Take a name away; the image stays. A name that is not there is fine."""
        with self._index() as (named, unnamed):
            previous = named.pop(name, None)
            if previous and previous.digest not in {one.digest for one in (*named.values(), *unnamed)}:
                unnamed.append(previous)

    def find(self, name: str) -> Digest | None:
        """The digest an image name stands for."""
        named, _ = self._read_index()
        return named[name].digest if name in named else None

    def unpacked(self, layer: Layer) -> Path:
        """The layer's directory tree."""
        return self._unpacked(layer.digest, layer.diff_id)

    def blob(self, digest: Digest) -> Path:
        return self._blobs / digest.hex

    def verify(self) -> list[str]:
        """Read every blob and name, in a sentence each, those whose bytes are not what their name says."""
        found = ((blob, Digest.of_file(blob)) for blob in sorted(self._blobs.glob("[0-9a-f]*")))
        damaged = [f"The blob {blob} is damaged: its bytes have the digest {digest}." for blob, digest in found if digest.hex != blob.name]
        named, unnamed = self._read_index()
        listed = {one.digest for one in (*named.values(), *unnamed)}
        missing = sorted(digest for digest in listed if not self.blob(digest).exists())
        return damaged + [f"The index lists {digest}, which is not in {self._blobs}." for digest in missing]

    def sweep(self) -> list[str]:
        """Remove what a killed process left half-made; returns what, in words."""
        return [*sweep(self._ingest), *sweep(self._half_unpacked)]

    def _write_layer_blob(self, tree: Path) -> Layer:
        with scratch(self._ingest) as space:
            partial = space / "blob"
            with partial.open("wb") as file:
                blob = _Hashing(file)
                compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)
                with compressor.stream_writer(cast(BinaryIO, blob), closefd=False) as compressed:
                    tar = _Hashing(compressed)
                    write_tar(tree, tar)
                file.flush()
                os.fsync(file.fileno())
            digest = blob.digest()
            self._place_blob(partial, digest)
        return Layer(digest=digest, diff_id=tar.digest(), size=blob.size)

    def _write_blob(self, data: bytes) -> tuple[Digest, int]:
        digest = Digest.of(data)
        if not self.blob(digest).exists():
            journal.write_atomic(self.blob(digest), data, 0o644)
        return digest, len(data)

    def _place_blob(self, partial: Path, digest: Digest) -> None:
        partial.chmod(0o644)
        partial.rename(self.blob(digest))
        journal.sync_folder(self._blobs)

    def _place(self, unpacked: Path, diff_id: Digest) -> None:
        _sync_tree(unpacked)
        try:
            unpacked.rename(self._config.layers / diff_id.hex)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            return  # another build made the same layer: theirs is as good
        journal.sync_folder(self._config.layers)

    def _unpacked(self, digest: Digest, diff_id: Digest) -> Path:
        path = self._config.layers / diff_id.hex
        if not path.is_dir():
            with scratch(self._half_unpacked) as space:
                tree = space / "tree"
                tree.mkdir()
                self._unpack_blob(digest, diff_id, tree)
                self._place(tree, diff_id)
        return path

    def _unpack_blob(self, digest: Digest, diff_id: Digest, tree: Path) -> None:
        try:
            with self.blob(digest).open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as plain:
                tar = _HashingReader(plain)
                unpack_tar(cast(BinaryIO, tar), tree)
                tar.drain()
        except FileNotFoundError:
            raise ImageDamaged(f"The layer {digest} is not in the store.", hint="Deploy the app again.") from None
        except (zstandard.ZstdError, EOFError) as error:
            raise ImageDamaged(f"The layer {digest} cannot be read: {error}.", hint="Deploy the app again.") from None
        if tar.digest() != diff_id:
            raise ImageDamaged(f"The layer {digest} holds {tar.digest()} instead of {diff_id}.", hint="Deploy the app again.")

    def _document(self, digest: Digest, parse: Callable[[bytes], T]) -> T:
        try:
            data = self.blob(digest).read_bytes()
        except FileNotFoundError:
            raise ImageDamaged(f"{digest} is not in the image store {self._config.images}.", hint="Deploy the app again.") from None
        if Digest.of(data) != digest:
            raise ImageDamaged(f"The blob {self.blob(digest)} is not what its name says.", hint="Deploy the app again.")
        return parse(data)

    def _record(self, diff_id: Digest) -> Path:
        return self._config.layers / f"{diff_id.hex}.json"

    def _read_index(self) -> tuple[dict[str, Descriptor], list[Descriptor]]:
        try:
            return manifest.parse_index((self._config.images / "index.json").read_bytes())
        except FileNotFoundError:
            return {}, []

    @contextmanager
    def _index(self) -> Iterator[tuple[dict[str, Descriptor], list[Descriptor]]]:
        """The index to change in place, under its lock; written if it changed."""
        with journal.lock(self._config.locks / "images"):
            named, unnamed = self._read_index()
            yield named, unnamed
            path, data = self._config.images / "index.json", manifest.render_index(named, unnamed)
            if not path.exists() or path.read_bytes() != data:
                journal.write_atomic(path, data, 0o644)


class _Writable(Protocol):
    def write(self, data: bytes, /) -> object: ...


class _Hashing:
    """Passes writes on, and knows their digest and length."""

    def __init__(self, sink: _Writable) -> None:
        self._sink, self._hashed, self.size = sink, hashlib.sha256(), 0

    def write(self, data: bytes, /) -> int:
        self._sink.write(data)
        self._hashed.update(data)
        self.size += len(data)
        return len(data)

    def digest(self) -> Digest:
        return Digest(f"sha256:{self._hashed.hexdigest()}")


class _HashingReader:
    """Reads from a stream, and knows the digest of what was read."""

    def __init__(self, source: zstandard.ZstdDecompressionReader) -> None:
        self._source, self._hashed = source, hashlib.sha256()

    def read(self, size: int) -> bytes:
        data = self._source.read(size)
        self._hashed.update(data)
        return data

    def drain(self) -> None:
        while self.read(1 << 20):
            pass

    def digest(self) -> Digest:
        return Digest(f"sha256:{self._hashed.hexdigest()}")


def _take(tree: Path, unpacked: Path, *, move: bool) -> None:
    """Bring a tree to `unpacked`, by rename where it is ours to give and on the same file system."""
    if move:
        try:
            tree.rename(unpacked)
            return
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
    # a copy must not outlive us: whoever sweeps would race with it
    process.run(["setpriv", "--pdeathsig", "KILL", "cp", "-a", "--reflink=auto", f"{tree}/.", unpacked], timeout=600)


def _sync_tree(tree: Path) -> None:
    """Make a tree durable before its name is: a few files one by one, many by their whole file system (sync(1) -f)."""
    paths: list[Path] = []
    for folder, _, files in os.walk(tree):
        paths += [Path(folder, name) for name in files]
        if len(paths) > _FEW_FILES:
            process.run(["sync", "-f", tree], timeout=600)
            return
    for path in paths:
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                os.fsync(file.fileno())
