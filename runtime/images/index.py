"""The index of the image store (index.json): its images, with names or without."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from runtime import journal
from runtime.config import NodeConfig
from runtime.errors import ImageDamaged
from runtime.images import manifest
from runtime.images.manifest import Descriptor


class Index:
    """The index of one node's image store. A lock ensures a single writer."""

    def __init__(self, config: NodeConfig) -> None:
        self._path, self._lock = config.images / "index.json", config.locks / "images"

    def read(self) -> tuple[dict[str, Descriptor], list[Descriptor]]:
        """Return the images with names, and those without."""
        try:
            return manifest.parse_index(self._path.read_bytes())
        except (ValueError, KeyError) as error:
            raise ImageDamaged(
                f"{self._path} is not an index of images: {error}.",
                hint="Restore it from a backup.",
            ) from None
        except FileNotFoundError:
            return {}, []

    @contextmanager
    def changing(self) -> Iterator[tuple[dict[str, Descriptor], list[Descriptor]]]:
        """Yield the index to change in place, under its lock, and write it if it changed."""
        with journal.lock(self._lock):
            named, unnamed = self.read()
            yield named, unnamed
            data = manifest.render_index(named, unnamed)
            if not self._path.exists() or self._path.read_bytes() != data:
                journal.write_atomic(self._path, data, 0o644)
