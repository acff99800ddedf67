"""Base images for FROM and --from other than stages: the stacks of this node, with or without a
language, and pulled images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from runtime.builds.base_layers import ensure_runtimes
from runtime.builds.dockerfile.syntax import Instruction
from runtime.config import NodeConfig
from runtime.errors import ImageDamaged, TransferFailed
from runtime.images.manifest import ImageConfig, Layer
from runtime.images.platform_labels import without_platform_labels
from runtime.images.store import Store
from runtime.stacks.available import Offer, offer
from runtime.stacks.builder import ensure_runtime, ensure_stack
from runtime.stacks.definition import NODE_NEWEST, node, stack_of
from runtime.stacks.foundation import Foundation
from runtime.stacks.packages.package_manager import IN_NODE_IMAGES
from runtime.stacks.stack import NodeRuntime

Resolve = Callable[
    [str], str
]  # returns the digest in the store of a registry's image; TransferFailed, ImageDamaged


def _nodes() -> dict[str, NodeRuntime]:
    return {f"node-{version.partition('.')[0]}": node(version) for version in NODE_NEWEST}


def is_made_here(name: str, offered: Offer) -> bool:
    """Return whether this node can provide the base of FROM without a registry."""
    return name in offered.stacks or name in offered.languages or name in _nodes()


class Bases:
    """Base images. A stack that does not exist yet is built."""

    def __init__(
        self, config: NodeConfig, store: Store, log: Callable[[str], None], resolve: Resolve
    ) -> None:
        self._config, self._store, self._log, self._resolve = config, store, log, resolve

    def find(self, name: str, of: Instruction) -> tuple[list[Layer], ImageConfig]:
        """Return the layers, bottom first, and the configuration.

        Labels of the platform are kept only from its own stacks. BadSource: no image has that name.
        """
        offered = offer(self._config)
        if name in offered.stacks:
            image = ensure_stack(self._config, self._store, name, self._log)
            return list(self._store.layers_of(image.digest)), image.config
        if runtime := (offered.languages.get(name) or _nodes().get(name)):
            stack = stack_of(runtime)
            settings = ensure_stack(self._config, self._store, stack.name, self._log).config
            layers = ensure_runtime(self._config, self._store, runtime, stack, self._log)
            tools = IN_NODE_IMAGES if isinstance(runtime, NodeRuntime) else ()
            layers.extend(ensure_runtimes(self._config, self._store, tools, stack, self._log))
            names = (runtime.name, *(tool.name for tool in tools))
            foundation = Foundation(stack=stack.name, runtimes=names, layers=len(layers))
            return layers, replace(settings, labels={**settings.labels, **foundation.label()})
        try:
            digest = self._resolve(name)
        except (TransferFailed, ImageDamaged) as failure:
            known = ", ".join((*offered.stacks, *offered.languages, *_nodes()))
            raise of.wrong(
                failure.what, hint=f"{failure.hint} Images on this node: {known}."
            ) from None
        config = without_platform_labels(self._store.image(digest).config)
        return list(self._store.layers_of(digest)), config
