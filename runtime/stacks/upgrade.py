"""Move an image to a newer version of its stack with its upper layers unchanged, if that is sound;
otherwise give the reasons.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from runtime.config import NodeConfig
from runtime.confined.session import Confinement
from runtime.images.catalogue import Catalogue
from runtime.images.digest import Digest
from runtime.images.manifest import HistoryStep, Layer
from runtime.images.store import Store
from runtime.stacks.available import Offer, offer
from runtime.stacks.builder import ensure_runtime
from runtime.stacks.definition import node
from runtime.stacks.foundation import Foundation, foundation_of
from runtime.stacks.languages import libraries_named, php_named
from runtime.stacks.packages.package_manager import VERSION, PackageManager, is_version
from runtime.stacks.stack import DebianRuntime, Runtime
from runtime.stacks.upgrade_facts import contents, upper
from runtime.stacks.verdict import judge
from runtime.stacks.versions import versions

_REBUILD = "Deploy its source again to build it on the newest version."
_NODE = re.compile(r"node-([0-9]{1,4}\.[0-9]{1,4}\.[0-9]{1,4})")
_MANAGER = re.compile(rf"(npm|pnpm|yarn)-({VERSION})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Upgrade:
    """The result: another image, or none and the reasons.

    No image and no reason: the image uses the newest version already.
    """

    image: Digest | None = None
    stack: str = ""
    before: str = ""  # versions of the stack
    after: str = ""
    reasons: tuple[str, ...] = ()

    def explain(self) -> str:
        """Return one text for people."""
        if self.reasons:
            return f"The upgrade is not safe: {' '.join(self.reasons)} {_REBUILD}"
        if self.image is None:
            return f"It already uses the newest version of {self.stack}."
        return f"{self.stack} {self.before} was replaced by {self.after}."


def upgrade(
    config: NodeConfig, store: Store, digest: str, progress: Callable[[str], None] = print
) -> Upgrade:
    """Write the image again on the newest version of its stack. The caller holds a lease.

    ImageDamaged: the image is not complete.
    """
    document = store.manifest(digest)
    settings, _ = store.configuration(document)
    layers, foundation = store.layers_of(digest), foundation_of(settings.labels)
    if foundation is None or foundation.layers > len(layers):
        return Upgrade(
            reasons=(
                "The image was not built on a stack of this node, or before stacks had versions.",
            )
        )
    below, above = layers[: foundation.layers], layers[foundation.layers :]
    offered = offer(config)
    runtimes = [_runtime(offered, foundation.stack, name) for name in foundation.runtimes]
    if foundation.stack not in offered.stacks or None in runtimes:
        what = ", ".join((foundation.stack, *foundation.runtimes))
        return Upgrade(
            stack=foundation.stack,
            reasons=(f"This node no longer has the stack or a language of the image: {what}.",),
        )
    if not _were_built_here(config, foundation, below, runtimes):
        return Upgrade(
            stack=foundation.stack,
            reasons=(
                f"The lowest layers are not ones that this node built for {foundation.stack}.",
            ),
        )
    fresh = _newest(
        config,
        store,
        offered,
        foundation,
        [runtime for runtime in runtimes if runtime is not None],
        progress,
    )
    result = Upgrade(
        stack=foundation.stack, before=_label(config, below[0]), after=_label(config, fresh[0])
    )
    if tuple(fresh) == below:
        return result
    names = tuple(runtime.name for runtime in runtimes if runtime is not None)
    with Confinement().session() as helper:
        old, new = helper.trees(_paths(store, below)), helper.trees(_paths(store, fresh))
        verdict = judge(
            helper.call(contents, stack=foundation.stack, runtimes=foundation.runtimes, layers=old),
            helper.call(contents, stack=foundation.stack, runtimes=names, layers=new),
            helper.call(upper, layers=helper.trees(_paths(store, above)), old=old, new=new),
        )
    if not verdict.sound:
        return replace(result, reasons=verdict.reasons)
    moved = replace(
        settings, labels={**settings.labels, **replace(foundation, layers=len(fresh)).label()}
    )
    history = _history(config, store, Digest(digest), result, foundation, fresh)
    return replace(
        result,
        image=store.write_image(
            [*fresh, *above], replace(moved, history=history), document.annotations
        ),
    )


def _were_built_here(
    config: NodeConfig,
    foundation: Foundation,
    below: Sequence[Layer],
    runtimes: Sequence[Runtime | None],
) -> bool:
    """Return whether the layers are those that this node recorded for the stack and each runtime.

    A team may have written the label of an image of an earlier release. What it names would be
    built as root.
    """
    built = {(version.name, version.diff_id) for version in versions(config)}
    if (foundation.stack, below[0].diff_id) not in built:
        return False
    left = list(below[1:])
    for name, runtime in zip(foundation.runtimes, runtimes, strict=True):
        if left and (name, left[0].diff_id) in built:
            del left[0]
        elif not isinstance(runtime, DebianRuntime) or runtime.packages:
            return False  # only a language that the stack itself contains has no layer
    return not left


def _newest(
    config: NodeConfig,
    store: Store,
    offered: Offer,
    foundation: Foundation,
    runtimes: list[Runtime],
    progress: Callable[[str], None],
) -> list[Layer]:
    """Return the layers that a build would begin with today."""
    stack = offered.stacks[foundation.stack]
    layers = ensure_runtime(config, store, None, stack, progress)
    for runtime in runtimes:
        layers += ensure_runtime(config, store, runtime, stack, progress)[1:]
    return layers


def _runtime(offered: Offer, stack: str, name: str) -> Runtime | None:
    """Return the language of that name on the stack.

    For Node.js and its package managers, return the same version, which the app may require.
    """
    if match := _NODE.fullmatch(name):
        return node(match[1])
    if (match := _MANAGER.fullmatch(name)) and is_version(match[2]):
        return PackageManager(tool=match[1], version=match[2])
    if (shared := libraries_named(name)) and stack in offered.stacks:
        return replace(shared, stack=offered.stacks[stack])
    found = offered.languages.get(name) or php_named(name)
    return found if found and found.stack.name == stack else None


def _history(
    config: NodeConfig,
    store: Store,
    digest: Digest,
    result: Upgrade,
    foundation: Foundation,
    fresh: Sequence[Layer],
) -> tuple[HistoryStep, ...]:
    """Return the step that made each layer, bottom first. The lowest one names the upgrade."""
    created_by = [step.created_by for step in reversed(Catalogue(config, store).history(digest))]
    stack = f"{foundation.stack} {result.after}, upgraded from {result.before}"
    return tuple(
        HistoryStep(created_by=text)
        for text in (
            stack,
            *foundation.runtimes[: len(fresh) - 1],
            *created_by[foundation.layers :],
        )
    )


def _label(config: NodeConfig, layer: Layer) -> str:
    """Return the label of a version for people."""
    return next(
        (version.label for version in versions(config) if version.diff_id == layer.diff_id),
        layer.diff_id.hex[:12],
    )


def _paths(store: Store, layers: Sequence[Layer]) -> tuple[Path, ...]:
    return tuple(store.unpacked(layer) for layer in reversed(layers))
