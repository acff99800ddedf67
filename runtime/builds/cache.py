"""Layers of install steps by key, shared by all apps and teams: the same bytes in, the same command, the same layer out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from runtime import journal, stopping
from runtime.builds.allowance import Allowance
from runtime.config import NodeConfig
from runtime.errors import BuildFailed
from runtime.images.digest import Digest
from runtime.images.manifest import Layer
from runtime.images.store import Store
from runtime.images.use import mark


class Step(Protocol):
    """What the cache's record tells about a step."""

    @property
    def name(self) -> str: ...
    def reads(self) -> str: ...


_LOOK = 0.2  # seconds between two tries for a step somebody else runs


class StepCache:
    """What was built under which key; a layer that the store no longer has counts as never built."""

    def __init__(self, config: NodeConfig, store: Store) -> None:
        self._config, self._store = config, store
        self._folder = config.cache / "steps"

    def find(self, key: str) -> Layer | None:
        path = self._folder / f"{key}.json"
        mark(path)  # what is used last is collected last
        try:
            return self._store.layer(Digest(journal.read_json(path)["diff_id"]))
        except (KeyError, TypeError, ValueError):  # nothing there, or damaged: made again, and written anew
            return None

    def keep(self, key: str, layer: Layer, install: Step) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        journal.write_json(self._folder / f"{key}.json", {"diff_id": layer.diff_id, "step": install.name, "reads": install.reads()})

    @contextmanager
    def turn(self, key: str, allowance: Allowance) -> Iterator[None]:
        """One at a time under a key; the next finds what the first has made. BuildFailed: cancelled, or out of time, while waiting."""
        path = self._config.locks / f"step-{key[:16]}"
        while True:
            with journal.lock(path, timeout=_LOOK) as held:
                if held:
                    yield
                    return
            stopping.check()
            if allowance.is_over():
                raise BuildFailed("The build ran out of time while another build made the same dependencies.", hint="Deploy again.")
