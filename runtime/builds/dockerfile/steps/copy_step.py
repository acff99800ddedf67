"""COPY, ADD and WORKDIR: layers of copied files and new folders."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from runtime.builds.context import BuildContext
from runtime.builds.dockerfile import sources, work
from runtime.builds.dockerfile.accounts import account, owner
from runtime.builds.dockerfile.steps.keys import chain, step_key
from runtime.builds.dockerfile.steps.stage_state import Find, StageState
from runtime.builds.dockerfile.steps.step_layers import StepLayers
from runtime.builds.dockerfile.syntax import Instruction, Unquoted, Words
from runtime.builds.dockerfile.union import union
from runtime.images.manifest import Layer


@dataclass(frozen=True, slots=True, kw_only=True)
class CopySteps:
    """The COPY, ADD and WORKDIR steps of one build."""

    context: BuildContext
    layers: StepLayers

    def add(
        self, state: StageState, instruction: Instruction, words: Words, label: str, find: Find
    ) -> None:
        raw = Unquoted(state.settings.escape, state.values())
        asked = sources.wanted(instruction, words, raw, state.config.working_directory)
        if instruction.flag("checksum"):
            raise instruction.wrong("--checksum is for downloads, which are not supported.")
        origin = instruction.flag("from")
        whose = (
            owner(text, self.layers.reader(state), instruction)
            if (text := words.expand(instruction.flag("chown") or "", instruction))
            else None
        )
        request = work.Request(
            of=instruction,
            asked=asked,
            excluded=tuple(
                words.expand(pattern, instruction) for pattern in instruction.every("exclude")
            ),
            is_context=not origin,
            owner=whose,
            chmod=_mode(instruction, words),
            unpack=instruction.name == "ADD" and instruction.flag("unpack") != "false",
            most=self.context.limits.disk,
        )
        inputs: dict[str, object] = {
            "what": instruction.name,
            "asked": {
                "files": [[name, data.hex()] for name, data in asked.files],
                "to": asked.destination,
                "in": asked.into_folder,
            },
            "owner": None if whose is None else [whose.uid, whose.gid],
            "chmod": request.chmod,
            "unpack": instruction.flag("unpack"),
        }
        keys: list[str] = []
        layers: tuple[Path, ...] = ()
        if origin:
            earlier = find(origin)
            layers = self.layers.paths(earlier)
            quick = {
                **inputs,
                "from": chain(earlier.layers),
                "args": [words.expand(arg, instruction) for arg in instruction.args],
                "flags": instruction.flags,
            }
            keys.append(step_key("COPY", chain(state.layers), self.context.team, quick))
        with ExitStack() as stack:
            if not (keys and self.layers.has_cached(keys[0])):
                tree = stack.enter_context(self.layers.opened(layers, is_context=not origin))
                inputs["content"] = self.context.helper.call(
                    work.content, source=tree, request=request, made_after=self.layers.begin
                ).digest
                keys.append(step_key("COPY", chain(state.layers), self.context.team, inputs))

            def make(space: Path) -> Layer:
                with union(
                    self.layers.paths(state), space, self.context.helper, self.context.kernel
                ) as into:
                    self.context.helper.call(
                        work.copy, source=tree, root=into.root, request=request
                    )
                return self.layers.store_copy(into.upper, instruction)

            self.layers.add(state, instruction, label, keys, make)

    def add_directory(self, state: StageState, instruction: Instruction, label: str) -> None:
        directory = state.config.working_directory
        user = account(state.config.user or "0", self.layers.reader(state), instruction)
        key = step_key(
            "WORKDIR",
            chain(state.layers),
            self.context.team,
            {"directory": directory, "owner": [user.uid, user.gid]},
        )

        def make(space: Path) -> Layer:
            with union(
                self.layers.paths(state), space, self.context.helper, self.context.kernel
            ) as into:
                self.context.helper.call(
                    work.make_directory, root=into.root, name=directory, owner=user, of=instruction
                )
            return self.layers.store_copy(into.upper, instruction)

        self.layers.add(state, instruction, label, [key], make)


def _mode(instruction: Instruction, words: Words) -> int | None:
    text = words.expand(instruction.flag("chmod") or "", instruction)
    if not text:
        return None
    if len(text) > 5 or not set(text) <= set("01234567"):
        raise instruction.wrong(
            f"--chmod={text} is not a valid octal mode.", hint="Write --chmod=755, for example."
        )
    return int(text, 8)
