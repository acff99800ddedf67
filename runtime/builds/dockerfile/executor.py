"""Build a Dockerfile: the stages that its last one needs, step by step.

The cache or a step provides each layer.
"""

from __future__ import annotations

import posixpath
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from runtime.builds.context import BuildContext
from runtime.builds.dockerfile import settings as configuration
from runtime.builds.dockerfile import sources, work
from runtime.builds.dockerfile.accounts import Read, account, owner
from runtime.builds.dockerfile.bases import Bases
from runtime.builds.dockerfile.keys import EMPTY, Step, chain, step_key
from runtime.builds.dockerfile.mounts import Kind, Mount, mounts_of
from runtime.builds.dockerfile.running import PATH, Lent, Options, Run, RunStep, reader
from runtime.builds.dockerfile.settings import Settings
from runtime.builds.dockerfile.stages import SCRATCH, Recipe, Stage, arguments_of
from runtime.builds.dockerfile.syntax import Instruction, Unquoted, Words, trigger
from runtime.builds.dockerfile.union import union
from runtime.builds.history import complete, with_step
from runtime.contract.quantities import Bytes
from runtime.images.manifest import ImageConfig, Layer
from runtime.masking import Mask
from runtime.stacks.builder import layer_names
from runtime.trees.folder import Folder

MAX_LAYERS = 120  # the limit of an overlay is 500, and lower in older kernels
_LEAST_SECRET = 4  # characters; a shorter secret may be a part of ordinary words
_FOLDER_TIME = 1_000_000_000  # seconds; of folders that a COPY wrote into


@dataclass(slots=True, kw_only=True)
class State:
    """The state of a stage after some of its steps."""

    layers: list[Layer]  # bottom first
    settings: Settings
    arguments: dict[str, str] = field(default_factory=dict)
    private: bool = False  # a step saw the whole source, a secret or a cache: other teams may not share later layers

    @property
    def config(self) -> ImageConfig:
        return self.settings.config

    def tell(self, instruction: Instruction, *, empty: bool) -> None:
        """Add an instruction to the image's history as it is written, without values of build arguments."""
        self.settings = replace(self.settings, config=with_step(self.config, instruction.text, empty=empty))


@dataclass(slots=True, kw_only=True)
class Executor:
    """One build of one Dockerfile."""

    context: BuildContext
    options: Options
    bases: Bases
    recipe: Recipe
    source: Path
    _done: dict[int, State] = field(default_factory=dict)
    _counted: int = 0
    _lent: set[str] = field(default_factory=set)  # secrets that a step had; they are masked in later lines

    def run(self) -> State:
        """Build all needed stages, and return the last one."""
        needed = self.recipe.needed()
        for stage in needed:
            self._done[stage.number] = self._stage(stage)
        if skipped := len(self.recipe.stages) - len(needed):
            self.context.log(f"{skipped} of {len(self.recipe.stages)} stages are not needed and were not built")
        return self._done[needed[-1].number]

    def _stage(self, stage: Stage) -> State:
        state = self._begin(stage)
        state.settings = replace(state.settings, escape=self.recipe.escape)
        triggers = [trigger(stage.start, text, self.recipe.escape) for text in state.config.on_build]
        state.settings = replace(state.settings, config=replace(state.config, on_build=()))
        steps = (*triggers, *stage.steps)
        for number, instruction in enumerate(steps, start=1):
            self.context.budget.check()
            self._step(state, instruction, stage, f"[{stage.called()} {number}/{len(steps)}]")
        return state

    def _begin(self, stage: Stage) -> State:
        if stage.parent is not None:
            earlier = self._done[stage.parent]
            return State(layers=[*earlier.layers], settings=Settings(config=earlier.config), private=earlier.private)
        if stage.base.lower() == SCRATCH:
            return State(layers=[], settings=Settings(config=ImageConfig(environment={"PATH": PATH}, user="", working_directory="/")))
        layers, config = self.bases.find(stage.base, stage.start)
        return State(layers=layers, settings=Settings(config=complete(config, layers, layer_names(self.context.config))))

    def _step(self, state: State, instruction: Instruction, stage: Stage, label: str) -> None:
        words = Words(self.recipe.escape, self._values(state))
        if instruction.name == "ARG":
            self._declare(state, instruction, words)
            state.tell(instruction, empty=True)
        elif instruction.name == "RUN":
            self._run(state, instruction, words, stage, label)
        elif instruction.name in ("COPY", "ADD"):
            self._copy(state, instruction, words, stage, label)
        elif configuration.applies_to(instruction.name):
            state.settings = configuration.change(state.settings, instruction, words)
            if instruction.name == "WORKDIR":
                self._make_directory(state, instruction, label)
            else:
                state.tell(instruction, empty=True)
        else:
            raise instruction.wrong(f"{instruction.name} is not allowed here.")

    def _values(self, state: State) -> dict[str, str]:
        return {**state.arguments, **state.config.environment}

    def _declare(self, state: State, instruction: Instruction, words: Words) -> None:
        for name, default in arguments_of(instruction, words):
            outer = default if default is not None else self.recipe.arguments.get(name, self.recipe.platform.get(name))
            value = self.options.arguments.get(name, outer)
            if value is not None:
                state.arguments[name] = value

    def _run(self, state: State, instruction: Instruction, words: Words, stage: Stage, label: str) -> None:
        if not state.layers:
            raise instruction.wrong("RUN is not possible: the stage is empty.", hint="After FROM scratch, use COPY or ADD first.")
        if (network := instruction.flag("network")) not in (None, "default", "none"):
            raise instruction.wrong(f"--network={network} is not supported.", hint="Use default or none.")
        if instruction.flag("security") not in (None, "sandbox"):
            raise instruction.wrong("--security=insecure is not supported.", hint="Remove it.")
        mounts = mounts_of(instruction, words, state.config.working_directory)
        lent = {number: self._lend(instruction, mount, stage) for number, mount in enumerate(mounts) if _reads(mount)}
        digests = {number: self._digest(lent[number], instruction) for number in lent}
        self._mark(state, mounts)
        inputs = {
            "run": instruction.args,
            "exec": instruction.exec_form,
            "heredocs": [asdict(body) for body in instruction.heredocs],
            "shell": state.config.shell,
            "environment": self._values(state),
            "user": state.config.user,
            "directory": state.config.working_directory,
            "network": network,
            "mounts": [asdict(mount) for mount in mounts],
            "lent": digests,
        }
        key = step_key("RUN", chain(state.layers), self.context.team if state.private else None, inputs)

        def make(space: Path) -> Layer:
            self._counted += 1
            run = Run(
                of=instruction,
                id=self.context.container_id(self._counted),
                place=space,
                config=state.config,
                environment=self._values(state),
                layers=self._paths(state),
                source=self.source,
                account=account(state.config.user or "0", self._reader(state), instruction),
                mounts=mounts,
                lent=lent,
            )
            return RunStep(self.context, self.options, run).run(self._masked)

        self._layer(state, instruction, label, [key], make)

    def _mark(self, state: State, mounts: tuple[Mount, ...]) -> None:
        for mount in mounts:
            if mount.kind is Kind.SECRET and mount.id in self.options.secrets:
                self._lent.add(self.options.secrets[mount.id])
            whole = mount.kind is Kind.BIND and not mount.origin and mount.source.strip("./") == ""
            if mount.kind in (Kind.CACHE, Kind.SECRET) or whole:
                state.private = True

    def _lend(self, instruction: Instruction, mount: Mount, stage: Stage) -> Lent:
        """Return the origin of a mount's content: the context, an earlier stage or an image."""
        name = posixpath.normpath(f"/{mount.source}").lstrip("/")  # `..` at the top has no effect, as after chroot(2)
        if not mount.origin:
            return Lent(layers=(self.source,), name=name, is_context=True)
        return Lent(layers=self._paths(self._state_of(mount.origin, instruction, stage)), name=name, is_context=False)

    def _digest(self, lent: Lent, instruction: Instruction) -> str:
        with self._opened(lent.layers, is_context=lent.is_context) as tree:
            return self.context.helper.call(work.look_up, source=tree, name=lent.name, of=instruction, is_context=lent.is_context)

    @contextmanager
    def _opened(self, layers: tuple[Path, ...], *, is_context: bool) -> Iterator[Folder]:
        """Yield a tree that the helper can read."""
        if is_context:
            with self.context.helper.tree(self.source) as tree:
                yield tree
            return
        with union(layers, self._space(), self.context.helper, self.context.kernel) as united:
            yield united.root

    def _state_of(self, name: str, instruction: Instruction, stage: Stage) -> State:
        if found := self.recipe.find(name, stage.number):
            return self._done[found.number]
        layers, config = self.bases.find(name, instruction)
        return State(layers=layers, settings=Settings(config=config))

    def _copy(self, state: State, instruction: Instruction, words: Words, stage: Stage, label: str) -> None:
        raw = Unquoted(self.recipe.escape, self._values(state))
        asked = sources.wanted(instruction, words, raw, state.config.working_directory)
        if instruction.flag("checksum"):
            raise instruction.wrong("--checksum is for downloads, which are not supported.")
        origin = instruction.flag("from")
        whose = (
            owner(text, self._reader(state), instruction) if (text := words.expand(instruction.flag("chown") or "", instruction)) else None
        )
        request = work.Request(
            of=instruction,
            asked=asked,
            excluded=tuple(words.expand(pattern, instruction) for pattern in instruction.every("exclude")),
            is_context=not origin,
            owner=whose,
            chmod=self._mode(instruction, words),
            unpack=instruction.name == "ADD" and instruction.flag("unpack") != "false",
        )
        inputs: dict[str, object] = {
            "what": instruction.name,
            "asked": {"files": [[name, data.hex()] for name, data in asked.files], "to": asked.destination, "in": asked.into_folder},
            "owner": None if whose is None else [whose.uid, whose.gid],
            "chmod": request.chmod,
            "unpack": instruction.flag("unpack"),
        }
        keys: list[str] = []
        layers: tuple[Path, ...] = ()
        if origin:
            state.private |= (earlier := self._state_of(origin, instruction, stage)).private
            layers = self._paths(earlier)
            quick = {
                **inputs,
                "from": chain(earlier.layers),
                "args": [words.expand(arg, instruction) for arg in instruction.args],
                "flags": instruction.flags,
            }
            keys.append(step_key("COPY", chain(state.layers), self._team(state), quick))
        elif any(pattern.strip("./") == "" for pattern in asked.patterns):
            state.private = True
        with ExitStack() as stack:
            if not (keys and self._cached(keys[0])):
                tree = stack.enter_context(self._opened(layers, is_context=not origin))
                inputs["content"] = self.context.helper.call(work.content, source=tree, request=request).digest
                keys.append(step_key("COPY", chain(state.layers), self._team(state), inputs))

            def make(space: Path) -> Layer:
                with union(self._paths(state), space, self.context.helper, self.context.kernel) as into:
                    self.context.helper.call(work.copy, source=tree, root=into.root, request=request)
                return self._stored(into.upper)

            self._layer(state, instruction, label, keys, make)

    def _make_directory(self, state: State, instruction: Instruction, label: str) -> None:
        directory = state.config.working_directory
        user = account(state.config.user or "0", self._reader(state), instruction)
        key = step_key("WORKDIR", chain(state.layers), self._team(state), {"directory": directory, "owner": [user.uid, user.gid]})

        def make(space: Path) -> Layer:
            with union(self._paths(state), space, self.context.helper, self.context.kernel) as into:
                self.context.helper.call(work.make_directory, root=into.root, name=directory, owner=user, of=instruction)
            return self._stored(into.upper)

        self._layer(state, instruction, label, [key], make)

    def _reader(self, state: State) -> Read:
        """Return a reader for the files of a stage."""
        return reader(self._paths(state), self.context.helper)

    def _stored(self, upper: Path) -> Layer:
        """Store the writable layer of a copy.

        A folder's time is the time of the copy, so it is replaced.
        """
        with self.context.helper.tree(upper, writable=True) as top:
            self.context.helper.call(work.forget_times, top=top, after=self._since, instead=_FOLDER_TIME)
        return self.context.store.add_layer(upper, move=True, team=self.context.team)

    def _layer(self, state: State, instruction: Instruction, label: str, keys: list[str], make: Callable[[Path], Layer]) -> None:
        """Add the step's layer, from the cache under one of its keys, or made now and cached under all keys."""
        title = f"{label} {_title(instruction)}"
        started = time.monotonic()
        with self.context.cache.turn(keys[-1], self.context.budget):
            layer = next((found for key in keys if (found := self.context.cache.find(key))), None)
            if layer is not None:
                self.context.log(f"{title}: cached, {Bytes(layer.size)}")
            else:
                if instruction.name == "RUN":
                    self.context.log(title)
                layer = make(self._space())
                end = f"{label} done" if instruction.name == "RUN" else title
                self.context.log(f"{end}: {time.monotonic() - started:.1f} s, {Bytes(layer.size)}, layer {layer.digest.short}")
            for key in keys:
                self.context.cache.keep(key, layer, Step(text=instruction.text))
        state.tell(instruction, empty=layer.diff_id == EMPTY)
        if layer.diff_id == EMPTY:
            return
        state.layers.append(layer)
        if len(state.layers) > MAX_LAYERS:
            raise instruction.wrong(f"The image would have more than {MAX_LAYERS} layers.", hint="Join RUN lines with &&.")

    def _cached(self, key: str) -> bool:
        return self.context.cache.find(key) is not None

    def _team(self, state: State) -> int | None:
        return self.context.team if state.private else None

    def _paths(self, state: State) -> tuple[Path, ...]:
        return tuple(self.context.store.unpacked(layer) for layer in reversed(state.layers))

    def _space(self) -> Path:
        """Make a new folder in the workspace. It is removed with the workspace."""
        self._counted += 1
        space = self.context.workspace / f"space{self._counted}"
        space.mkdir(mode=0o711)
        return space

    def _mode(self, instruction: Instruction, words: Words) -> int | None:
        text = words.expand(instruction.flag("chmod") or "", instruction)
        if not text:
            return None
        if len(text) > 5 or not set(text) <= set("01234567"):
            raise instruction.wrong(f"--chmod={text} is not a valid octal mode.", hint="Write --chmod=755, for example.")
        return int(text, 8)

    def _masked(self, line: str) -> None:
        self.context.log(Mask(self._lent, least=_LEAST_SECRET)(line) if self._lent else line)

    @property
    def _since(self) -> float:
        return self.source.stat().st_ctime - 1


def _reads(mount: Mount) -> bool:
    """Return whether a mount shows existing content."""
    return mount.kind is Kind.BIND or (mount.kind is Kind.CACHE and bool(mount.origin))


def _title(instruction: Instruction) -> str:
    text = " ".join(instruction.text.split())
    return text if len(text) <= 100 else f"{text[:99]}…"
