"""Add the shared libraries that an app's packages link to, as a layer of Debian's packages."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from runtime.builds.base_layers import BaseLayers
from runtime.builds.context import BuildContext
from runtime.builds.native import linked
from runtime.builds.native.library_limits import LibraryLimits
from runtime.confined import answers
from runtime.confined.session import Confinement
from runtime.images.manifest import Layer
from runtime.stacks.builder import ensure_runtime
from runtime.stacks.foundation import foundation_of
from runtime.stacks.languages import PYTHON_COMPILERS, libraries
from runtime.stacks.stack import Stack


@dataclass(slots=True, kw_only=True)
class SharedLibraries:
    """The libraries that the steps of one build turned out to need."""

    context: BuildContext
    stack: Stack
    base: Sequence[Layer]  # of the image
    packages: set[str] = field(default_factory=set)

    def look(self, layer: Layer) -> tuple[Layer, ...]:
        """Look at what a step built. Return the layers to add below the next steps.

        The names are recorded with the layer, so a layer is read only once.
        """
        context = self.context
        needs = context.cache.needs(layer)
        if needs is None:
            top = context.helper.tree(context.store.unpacked(layer))
            needs = context.helper.call(linked.needed, top=top)
            answers.number(len(needs), linked.MOST_RETURNED)
            context.cache.keep_needs(layer, needs)
        found = self._packages(needs) if needs and not self.stack.image else frozenset()
        if found <= self.packages:
            return ()
        self.packages |= found
        context.log(
            f"Shared libraries: {', '.join(sorted(found))}, since the packages link to them"
        )
        return self._layers()

    def added_to(self, base_layers: BaseLayers) -> BaseLayers:
        """Return the base layers of the image with the libraries, right above the stack.

        So the languages' own record of installed packages stays the topmost one.
        """
        foundation = foundation_of(base_layers.labels)
        if not self.packages or foundation is None:
            return base_layers
        stack, *languages = base_layers.image
        names = (libraries(self.packages).name, *foundation.runtimes)
        label = replace(foundation, runtimes=names, layers=foundation.layers + 1).label()
        return replace(
            base_layers,
            image=(stack, *self._layers(), *languages),
            labels={**base_layers.labels, **label},
        )

    def _layers(self) -> tuple[Layer, ...]:
        context = self.context
        runtime = libraries(self.packages)
        limits = LibraryLimits(config=context.config, team=context.team)
        limits.check_packages(self.packages)
        made = ensure_runtime(
            context.config,
            context.store,
            runtime,
            self.stack,
            context.progress,
            before_new=lambda: limits.count_new(time.time()),
        )
        return tuple(made[1:])

    def _packages(self, needs: dict[str, str]) -> frozenset[str]:
        """Return the packages of the libraries that the image does not have."""
        context = self.context
        base = context.helper.trees(context.store.unpacked(layer) for layer in self.base)
        missing = context.helper.call(linked.absent, layers=base, names=tuple(needs))
        answers.among(missing, needs)
        if not missing:
            return frozenset()
        compilers = ensure_runtime(
            context.config, context.store, PYTHON_COMPILERS, self.stack, context.progress
        )[-1]
        # Another helper, which reads nothing of the team: root installs the packages that it names.
        with Confinement().session() as helper:
            top = helper.tree(context.store.unpacked(compilers))
            found = helper.call(linked.owners, layer=top, names=missing)
        answers.among(found, missing)
        answers.packages(found.values())
        for name in missing:
            if name not in found:
                context.log(
                    f"Warning: {needs[name]} needs {name}, which no package known here has. If the"
                    " app loads it, use another version of the package, or a Dockerfile."
                )
        return frozenset(found.values())
