"""Layers of build steps by key, shared by all apps and, for some install steps, by all teams.

The same input and the same command give the same layer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from runtime import journal
from runtime.builds.budget import Budget
from runtime.config import NodeConfig
from runtime.images.digest import Digest
from runtime.images.manifest import Layer
from runtime.images.store import Store
from runtime.images.use import mark


class Step(Protocol):
    """The properties of a step that the cache records."""

    @property
    def name(self) -> str: ...
    def reads(self) -> str: ...


_POLL_SECONDS = 0.2  # seconds between two attempts to lock a step that another build runs


class StepCache:
    """The layers that were built, by key.

    A layer that the store has removed is treated as not built.
    """

    def __init__(self, config: NodeConfig, store: Store) -> None:
        self._config, self._store = config, store
        self._folder = config.cache / "steps"

    def find(self, key: str) -> Layer | None:
        path = self._folder / f"{key}.json"
        mark(path)  # the collector removes the least recently used first
        try:
            return self._store.layer(Digest(journal.read_json(path)["diff_id"]))
        except (
            KeyError,
            TypeError,
            ValueError,
        ):  # missing or damaged: it is built and written again
            return None

    def keep(self, key: str, layer: Layer, install: Step) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        journal.write_json(
            self._folder / f"{key}.json",
            {"diff_id": layer.diff_id, "step": install.name, "reads": install.reads()},
        )

    def needs(self, layer: Layer) -> dict[str, str] | None:
        """Return the libraries that the files of a layer link to; None if they are not known."""
        path = self._needs(layer)
        mark(path)
        try:
            return {str(name): str(file) for name, file in journal.read_json(path)["needs"].items()}
        except (KeyError, TypeError, ValueError, AttributeError):  # missing or damaged: read again
            return None

    def keep_needs(self, layer: Layer, needs: Mapping[str, str]) -> None:
        """Record the libraries that the files of a layer link to."""
        self._folder.mkdir(parents=True, exist_ok=True)
        journal.write_json(
            self._needs(layer),
            {"diff_id": layer.diff_id, "step": "Libraries", "reads": "", "needs": dict(needs)},
        )

    def _needs(self, layer: Layer) -> Path:
        key = hashlib.sha256(f"libraries of {layer.diff_id}".encode()).hexdigest()
        return self._folder / f"{key}.json"

    @contextmanager
    def key_lock(self, key: str, budget: Budget) -> Iterator[None]:
        """Hold the lock of a key, so that the next build finds the layer that the first has made.

        Cancelled, BuildFailed: the build was cancelled, or its time was used up, while it waited.
        """
        path = self._config.locks / f"step-{key[:16]}"
        while True:
            with journal.lock(path, timeout=_POLL_SECONDS) as held:
                if held:
                    yield
                    return
            budget.check(
                "The build reached its time limit while another build installed the same"
                " dependencies.",
                hint="Deploy again.",
            )
