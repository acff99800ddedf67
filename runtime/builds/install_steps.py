"""Make layers of the install steps of a build: from the cache, or in a build container of the team."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from runtime.builds.layer_cache import StepCache
from runtime.builds.package_cache import Lent, PackageCaches, keeps
from runtime.builds.package_sources import Surroundings, surroundings
from runtime.builds.sandbox import Order, run_install
from runtime.builds.source import code
from runtime.builds.steps import Install, step_key
from runtime.confined.session import Session
from runtime.containers.lifecycle import Containers
from runtime.containers.spec import TeamLimits, first_id_of
from runtime.contract.quantities import Bytes
from runtime.errors import CacheTooLarge
from runtime.images.digest import Digest, chain_id
from runtime.images.manifest import Layer
from runtime.images.store import Store
from runtime.kernel import Kernel, MountFlag

_QUIET = MountFlag.READ_ONLY | MountFlag.NO_SETUID | MountFlag.NO_DEVICES


@dataclass(slots=True, kw_only=True)
class Workshop:
    """The runner of the install steps of one build."""

    store: Store
    containers: Containers
    cache: StepCache
    packages: PackageCaches
    order: Order  # its container's name is the prefix of the names of the steps' containers
    team_limits: TeamLimits | None
    log: Callable[[str], None]
    cancelled: Callable[[], bool]
    helper: Session
    kernel: Kernel = field(default_factory=Kernel)
    steps: int = 0  # number of steps that were started
    descriptions: dict[Digest, str] = field(default_factory=dict)  # what made each layer, by diff ID

    def layer(self, install: Install, tree: Path | None, below: list[Layer]) -> Layer:
        """Return the layer of a step on top of `below`, bottom first.

        Without a `tree`, the code is already in `below`. BuildFailed names the fault.
        """
        self.steps += 1
        place = self.order.workspace / f"step{self.steps}"
        place.mkdir(mode=0o711)
        around = surroundings(install.tool, place)
        contents = {} if tree is None else self._contents(install, tree)
        parent = chain_id([layer.diff_id for layer in below])
        key = step_key(install, parent, contents, around.identity)
        own_key = step_key(install, parent, contents, around.identity, team=self.order.team)
        keys = (own_key,) if install.reads_all else (key, own_key)
        with self.cache.turn(keys[0], self.order.budget):
            if layer := next((found for candidate in keys if (found := self.cache.find(candidate))), None):
                self.descriptions[layer.diff_id] = install.describe()
                self.log(f"{install.name}: cached, reused layer {layer.digest.short} (same {install.reads()}), {Bytes(layer.size)}")
                return layer
            started = time.monotonic()
            self.log(f"{install.name}: `{install.shown}` for {install.reads()}")
            inputs = tree if tree is not None and install.reads_all else _written(place / "inputs", contents)
            paths = tuple(self.store.unpacked(layer) for layer in reversed(below))
            shared = not install.reads_all and not (keeps(install.tool) and self.packages.has(self.order.team))
            with self._shown(inputs, place / "shown") as seen:
                made = self._run(install, place, alone=shared, layers=paths, inputs=seen, around=around)
            layer = self.store.add_layer(made, move=True, team=self.order.team)
            self.cache.keep(keys[0] if shared else own_key, layer, install)
            self.descriptions[layer.diff_id] = install.describe()
            self.log(f"{install.name}: installed in {time.monotonic() - started:.1f} s, {Bytes(layer.size)}, layer {layer.digest.short}")
            return layer

    @contextmanager
    def _shown(self, inputs: Path, place: Path) -> Iterator[Path]:
        """Yield a second mount of the inputs with the owners that they have on disk.

        Inside the container, root owns a file that only its owner may read.
        """
        place.mkdir()
        mount = self.kernel.clone_tree(inputs, idmap=self.helper.ids, flags=_QUIET)
        try:
            self.kernel.attach(mount, place)
        finally:
            os.close(mount)
        try:
            yield place
        finally:
            self.kernel.unmount(place, lazily=True)

    def _contents(self, install: Install, tree: Path) -> dict[str, bytes]:
        """Return the part of the source that decides the step's key: the files that it reads, or a digest of each file."""
        with self.helper.tree(tree) as top:
            if install.reads_all:
                return self.helper.call(code.read_whole, tree=top)
            return self.helper.call(code.read_files, tree=top, names=install.files)

    def _run(self, install: Install, place: Path, *, alone: bool, layers: tuple[Path, ...], inputs: Path, around: Surroundings) -> Path:
        """Run the step in its container with the team's package cache.

        Without the cache if that becomes too large.
        """
        if self.team_limits is not None:
            self.containers.set_team_limits(self.order.team, self.team_limits)
        order = replace(self.order, container_id=f"{self.order.container_id}-{self.steps}")
        texts = _written(place / "texts", {name: text.encode() for name, text in install.texts})

        def run(cache: Lent | None) -> Path:
            return run_install(
                self.containers,
                install,
                order,
                layers=layers,
                inputs=inputs,
                texts=texts,
                around=around,
                log=self.log,
                cancelled=self.cancelled,
                cache=cache,
            )

        if not keeps(install.tool):
            return run(None)
        try:
            with self.packages.lent(self.order.team, first_id_of(self.order.team), place, alone=alone) as lent:
                return run(lent)
        except CacheTooLarge as too_large:
            self.log(f"{too_large.what} The step runs again without it.")
            return run(None)


def _written(folder: Path, contents: Mapping[str, bytes]) -> Path:
    """Make a folder with exactly these files."""
    folder.mkdir(mode=0o755)
    for name, data in contents.items():
        path = folder / name
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(0o644)
    return folder
