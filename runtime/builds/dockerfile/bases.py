"""What FROM and --from may name beside a stage: the stacks of this node, with or without a language, and what a registry gave."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from runtime.builds.dockerfile.syntax import Instruction
from runtime.config import NodeConfig
from runtime.images.manifest import ImageConfig, Layer
from runtime.images.store import Store
from runtime.stacks.builder import ensure_runtime, ensure_stack
from runtime.stacks.definition import DEBIAN_13, NODE_NEWEST, PYTHON, STACKS, Runtime, node
from runtime.stacks.languages import LANGUAGES
from runtime.stacks.static import STATIC

Resolve = Callable[[str], str | None]  # an image's name to its digest in the store, or None


def _runtimes() -> dict[str, Runtime]:
    nodes = {f"node-{version.partition('.')[0]}": node(version) for version in NODE_NEWEST}
    return {**{one.name: one for one in (*PYTHON.values(), STATIC, *LANGUAGES)}, **nodes}


def is_made_here(name: str) -> bool:
    """Whether FROM can have it on any node, without a registry."""
    return name in STACKS or name in _runtimes()


class Bases:
    """Images to begin with; what is not there yet of a stack is built."""

    def __init__(self, config: NodeConfig, store: Store, log: Callable[[str], None], resolve: Resolve = lambda _: None) -> None:
        self._config, self._store, self._log, self._resolve = config, store, log, resolve

    def find(self, name: str, of: Instruction) -> tuple[list[Layer], ImageConfig]:
        """The layers, bottom first, and the configuration. BadSource: nothing here has that name."""
        if digest := self._resolve(name):
            return list(self._store.layers_of(digest)), self._store.image(digest).config
        if name in STACKS:
            image = ensure_stack(self._config, self._store, name, self._log)
            return list(self._store.layers_of(image.digest)), image.config
        if runtime := _runtimes().get(name):
            base = ensure_stack(self._config, self._store, DEBIAN_13.name, self._log)
            return ensure_runtime(self._config, self._store, runtime, DEBIAN_13, self._log), replace(base.config)
        known = ", ".join((*STACKS, *_runtimes()))
        raise of.wrong(
            f"There is no image {name!r} on this node, and images are not pulled from registries yet.",
            hint=f"Take one of {known}, an earlier stage, or scratch.",
        )
