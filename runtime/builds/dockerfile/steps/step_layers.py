"""Layers of Dockerfile steps: from the cache, or made now and cached."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from runtime.builds.context import BuildContext
from runtime.builds.dockerfile import work
from runtime.builds.dockerfile.accounts import Read
from runtime.builds.dockerfile.image_files import reader
from runtime.builds.dockerfile.room import check_size
from runtime.builds.dockerfile.steps.keys import EMPTY, Step
from runtime.builds.dockerfile.steps.stage_state import StageState
from runtime.builds.dockerfile.syntax import Instruction
from runtime.builds.dockerfile.union import union
from runtime.contract.quantities import Bytes
from runtime.images.layers import sanitizing
from runtime.images.manifest import Layer
from runtime.trees.folder import Folder

MAX_LAYERS = 120  # the limit of an overlay is 500, and lower in older kernels
FOLDER_TIME = 1_000_000_000  # seconds; of folders that a COPY wrote into


@dataclass(slots=True, kw_only=True)
class StepLayers:
    """The layers of the steps of one build, and the folders in which they are made."""

    context: BuildContext
    source: Path  # the build context of the Dockerfile
    _counted: int = 0

    def add(
        self,
        state: StageState,
        instruction: Instruction,
        label: str,
        keys: list[str],
        make: Callable[[Path], Layer],
    ) -> None:
        """Add the step's layer, from the cache under one of its keys, or made now and cached under
        all keys.
        """
        title = f"{label} {_title(instruction)}"
        started = time.monotonic()
        with self.context.cache.key_lock(keys[-1], self.context.budget):
            layer = next((found for key in keys if (found := self.context.cache.find(key))), None)
            if layer is not None:
                self.context.log(f"{title}: cached, {Bytes(layer.size)}")
            else:
                if instruction.name == "RUN":
                    self.context.log(title)
                layer = make(self.new_folder())
                end = f"{label} done" if instruction.name == "RUN" else title
                self.context.log(
                    f"{end}: {time.monotonic() - started:.1f} s, {Bytes(layer.size)}, layer"
                    f" {layer.digest.short}"
                )
            for key in keys:
                self.context.cache.keep(key, layer, Step(text=instruction.text))
        state.add_to_history(instruction, empty=layer.diff_id == EMPTY)
        if layer.diff_id == EMPTY:
            return
        state.layers.append(layer)
        if len(state.layers) > MAX_LAYERS:
            raise instruction.wrong(
                f"The image would have more than {MAX_LAYERS} layers.",
                hint="Join RUN lines with &&.",
            )

    def has_cached(self, key: str) -> bool:
        return self.context.cache.find(key) is not None

    def paths(self, state: StageState) -> tuple[Path, ...]:
        """Return the unpacked layers of a stage, topmost first."""
        return tuple(self.context.store.unpacked(layer) for layer in reversed(state.layers))

    def reader(self, state: StageState) -> Read:
        """Return a reader for the files of a stage."""
        return reader(self.paths(state), self.context.helper)

    @contextmanager
    def opened(self, layers: tuple[Path, ...], *, is_context: bool) -> Iterator[Folder]:
        """Yield a tree that the helper can read."""
        if is_context:
            with self.context.helper.tree(self.source) as tree:
                yield tree
            return
        with union(layers, self.new_folder(), self.context.helper, self.context.kernel) as united:
            yield united.root

    def store_copy(self, upper: Path, of: Instruction) -> Layer:
        """Store the writable layer of a copy.

        A folder's time is the time of the copy, so it is replaced.
        """
        helper = self.context.helper
        with helper.tree(upper, writable=True) as top:
            check_size(of, helper.call(sanitizing.size, top=top), self.context.limits.disk)
            helper.call(
                work.forget_times,
                top=top,
                after=self.begin,
                instead=FOLDER_TIME,
            )
        return self.context.store.add_layer(upper, move=True, team=self.context.team)

    @property
    def begin(self) -> float:
        """Return a Unix time shortly before the first step of this build."""
        return self.source.stat().st_ctime - 1

    def new_folder(self) -> Path:
        """Make a new folder in the workspace. It is removed with the workspace."""
        space = self.context.workspace / f"space{self.next_number()}"
        space.mkdir(mode=0o711)
        return space

    def next_number(self) -> int:
        """Return a number that no other folder or container of this build has."""
        self._counted += 1
        return self._counted


def _title(instruction: Instruction) -> str:
    text = " ".join(instruction.text.split())
    return text if len(text) <= 100 else f"{text[:99]}…"
