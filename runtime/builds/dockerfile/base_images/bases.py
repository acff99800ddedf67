"""Base images for FROM and --from other than stages: the stacks of this node, with or without a
language, and pulled images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from runtime.builds.base_layers import ensure_runtimes
from runtime.builds.context import BuildContext
from runtime.builds.dockerfile.base_images.substitutes import Substitute, substitute_for
from runtime.builds.dockerfile.image_files import reader
from runtime.builds.dockerfile.syntax import Instruction
from runtime.errors import ImageDamaged, NotAllowed, TransferFailed, Unreachable
from runtime.images.manifest import ImageConfig, Layer
from runtime.images.platform_labels import without_platform_labels
from runtime.stacks import names
from runtime.stacks.available import Offer, offer
from runtime.stacks.builder import ensure_runtime, ensure_stack
from runtime.stacks.definition import NODE_NEWEST, node, stack_of
from runtime.stacks.foundation import Foundation
from runtime.stacks.languages import PYTHON_COMPILERS
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Bases:
    """Base images. A stack that does not exist yet is built."""

    context: BuildContext
    resolve: Resolve
    substitutes: bool = False  # stacks may be used for official images that cannot be fetched

    def find(self, name: str, of: Instruction) -> tuple[list[Layer], ImageConfig]:
        """Return the layers, bottom first, and the configuration.

        Labels of the platform are kept only from its own stacks. BadSource: no image has that name.
        """
        store, offered = self.context.store, offer(self.context.config)
        if is_made_here(name, offered):
            return self._made_here(name, offered)
        try:
            digest = self.resolve(name)
        except (TransferFailed, ImageDamaged) as failure:
            is_away = isinstance(failure, Unreachable | NotAllowed)
            if is_away and self.substitutes and (found := substitute(name, offered)):
                return self._instead(name, found, failure.what, offered)
            known = ", ".join((*offered.stacks, *offered.languages, *_nodes()))
            raise of.wrong(
                failure.what, hint=f"{failure.hint} Images on this node: {known}."
            ) from None
        config = without_platform_labels(store.image(digest).config)
        return list(store.layers_of(digest)), config

    def _made_here(self, name: str, offered: Offer) -> tuple[list[Layer], ImageConfig]:
        config, store, log = self.context.config, self.context.store, self.context.log
        if name in offered.stacks:
            image = ensure_stack(config, store, name, log)
            return list(store.layers_of(image.digest)), image.config
        runtime = offered.languages.get(name) or _nodes()[name]
        stack = stack_of(runtime)
        settings = ensure_stack(config, store, stack.name, log).config
        layers = ensure_runtime(config, store, runtime, stack, log)
        tools = IN_NODE_IMAGES if isinstance(runtime, NodeRuntime) else ()
        layers.extend(ensure_runtimes(config, store, tools, stack, log))
        of_stack = (runtime.name, *(tool.name for tool in tools))
        foundation = Foundation(stack=stack.name, runtimes=of_stack, layers=len(layers))
        return layers, replace(
            settings,
            labels={**settings.labels, **foundation.label()},
            environment=_with_language(settings.environment, name),
        )

    def _instead(
        self, name: str, found: Substitute, why: str, offered: Offer
    ) -> tuple[list[Layer], ImageConfig]:
        """Return a stack with what the image has in addition: compilers, its user, its folder."""
        context = self.context
        context.log(
            f"Warning: {name} cannot be fetched: {why} Stack {found.base} is used instead, because"
            " an admin allows it."
            + (" It is Debian: `apk` does not exist in it." if found.is_for_alpine else "")
        )
        layers, settings = self._made_here(found.base, offered)
        if found.has_compilers:
            stack = offered.stacks.get(found.base) or stack_of(
                offered.languages.get(found.base) or _nodes()[found.base]
            )
            compilers = (PYTHON_COMPILERS,)
            layers.extend(
                ensure_runtimes(context.config, context.store, compilers, stack, context.log)
            )
        if found.user or found.directory != "/":
            layers.append(self._names(found, layers))
        return layers, replace(
            settings, working_directory=found.directory, command=found.command or settings.command
        )

    def _names(self, found: Substitute, layers: list[Layer]) -> Layer:
        """Return a layer with the image's user and its working folder."""
        context = self.context
        read = reader(
            tuple(context.store.unpacked(layer) for layer in reversed(layers)), context.helper
        )
        tree = context.workspace / f"names-{found.base}"
        names.fill(tree, user=found.user, folder=found.directory, read=read)
        return context.store.add_layer(tree, move=True)


def substitute(name: str, offered: Offer) -> Substitute | None:
    """Return the base of this node that may be used instead of an image, or None."""
    return substitute_for(name, (*offered.stacks, *offered.languages, *_nodes()))


def _with_language(environment: Mapping[str, str], name: str) -> Mapping[str, str]:
    """Return the variables of an image with the ones that the language's official image sets."""
    if not name.startswith("go-"):
        return environment
    path = f"/go/bin:/usr/local/go/bin:{environment['PATH']}"
    return {**environment, "GOPATH": "/go", "PATH": path}
