"""Base layers of a plan's image and of its build steps.

They are the node's own and hold nothing of a source.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from runtime.builds.log_figures import seconds, sizes
from runtime.builds.plan import BuildPlan
from runtime.config import NodeConfig
from runtime.images.manifest import Layer
from runtime.images.store import Store
from runtime.stacks.builder import ensure_bare, ensure_runtime, ensure_stack
from runtime.stacks.foundation import Foundation
from runtime.stacks.stack import Runtime, Stack

Log = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseLayers:
    """The base layers, bottom first."""

    image: tuple[Layer, ...]
    steps: tuple[Layer, ...]
    environment: Mapping[str, str] = field(
        default_factory=dict
    )  # the variables that the stack sets
    labels: Mapping[str, str] = field(
        default_factory=dict
    )  # names the image's layers that an upgrade may replace


def ensure_base_layers(
    config: NodeConfig, store: Store, build_plan: BuildPlan, log: Log, progress: Log
) -> BaseLayers:
    """Make the layers that do not exist yet.

    `log` gets the result, `progress` each line while a stack is made.
    """
    started, stack = time.monotonic(), build_plan.stack
    if build_plan.bare:
        log(
            f"Stack: none, the image has only programs and certificates; {build_plan.runtime_words}"
        )
        bare = ensure_bare(config, store, stack, progress)
        return BaseLayers(
            image=(bare,), steps=_toolchain(config, store, build_plan, log, progress) or (bare,)
        )
    layers = (
        *ensure_runtime(config, store, build_plan.runtime, stack, progress),
        *ensure_runtimes(config, store, build_plan.also, stack, progress),
    )
    what = f"; {build_plan.runtime_words}" if build_plan.runtime_words else ""
    log(f"Stack: {stack.name}{what} ({sizes(layers)}, {seconds(started)})")
    names = tuple(
        runtime.name for runtime in (build_plan.runtime, *build_plan.also) if runtime is not None
    )
    return BaseLayers(
        image=layers,
        steps=_toolchain(config, store, build_plan, log, progress) or layers,
        environment=ensure_stack(config, store, stack.name, progress).config.environment,
        labels=Foundation(stack=stack.name, runtimes=names, layers=len(layers)).label(),
    )


def ensure_runtimes(
    config: NodeConfig, store: Store, runtimes: Iterable[Runtime], stack: Stack, progress: Log
) -> tuple[Layer, ...]:
    """Return the layers of other languages and tools, without the stack's own."""
    return tuple(
        layer
        for runtime in runtimes
        for layer in ensure_runtime(config, store, runtime, stack, progress)[1:]
    )


def extra_layers_of_step(
    config: NodeConfig, store: Store, runtimes: Iterable[Runtime], stack: Stack, progress: Log
) -> tuple[Layer, ...]:
    """Return additional layers for a step.

    None if the stack is an image of a registry: it has its own tools, and nothing can be added to
    it.
    """
    return () if stack.image else ensure_runtimes(config, store, runtimes, stack, progress)


def _toolchain(
    config: NodeConfig, store: Store, build_plan: BuildPlan, log: Log, progress: Log
) -> tuple[Layer, ...]:
    """Return the base layers of the steps if they differ from those of the app, else nothing."""
    if build_plan.toolchain is None or not build_plan.installs:
        return ()
    started = time.monotonic()
    layers = ensure_runtime(config, store, build_plan.toolchain, build_plan.stack, progress)
    log(
        f"Built with: {build_plan.toolchain.name} ({sizes(layers)}, {seconds(started)}), which is"
        " not part of the image"
    )
    return (*layers, *ensure_runtimes(config, store, build_plan.also, build_plan.stack, progress))
