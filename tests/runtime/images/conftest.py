"""Fixtures: stores with very small layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from runtime.config import NodeConfig
from runtime.images.digest import Digest
from runtime.images.manifest import ImageConfig, Layer
from runtime.images.store import Store


@dataclass(frozen=True, slots=True)
class Yard:
    """A store, with methods that fill it quickly."""

    config: NodeConfig
    store: Store
    folder: Path

    def layer(self, text: str) -> Layer:
        tree = self.folder / "tree"
        tree.mkdir()
        (tree / "app").mkdir()
        (tree / "app" / "text").write_text(text)
        return self.store.add_layer(tree, move=True)

    def image(self, *layers: Layer, name: str = "", note: str = "") -> Digest:
        digest = self.store.write_image(layers, ImageConfig(labels={"note": note}))
        if name:
            self.store.tag(name, digest)
        return digest

    def disk(self) -> int:
        """Return the bytes of all files below the state folder."""
        return sum(
            path.lstat().st_size
            for path in self.config.state.rglob("*")
            if path.is_file() and not path.is_symlink()
        )


@pytest.fixture
def config(tmp_path: Path) -> NodeConfig:
    # Both limits are disabled: the tests must not depend on the disk of this machine.
    return NodeConfig(
        name="tstore", state=tmp_path / "state", run=tmp_path / "run", disk_high=100, disk_full=100
    )


@pytest.fixture
def yard(config: NodeConfig, tmp_path: Path) -> Yard:
    return Yard(config, Store(config), tmp_path)


@pytest.fixture
def loaded(yard: Yard) -> Callable[[str], bool]:
    """Return a function that says if an image can still be run."""

    def runs(digest: str) -> bool:
        return all((path / "app" / "text").exists() for path in yard.store.image(digest).layers)

    return runs
