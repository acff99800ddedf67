"""COPY, ADD and WORKDIR: layers of copied files and new folders."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from runtime.builds.context import BuildContext
from runtime.builds.dockerfile import sources, work
from runtime.builds.dockerfile.accounts import account, owner
from runtime.builds.dockerfile.steps.keys import chain, step_key
from runtime.builds.dockerfile.steps.stage_state import Find, StageState
from runtime.builds.dockerfile.steps.step_layers import FOLDER_TIME, StepLayers
from runtime.builds.dockerfile.syntax import Instruction, Unquoted, Words
from runtime.builds.dockerfile.union import union
from runtime.builds.source.git_fetch import OUT, fetch
from runtime.contract.git_address import GitAddress
from runtime.errors import BadSource
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
        repository = self._fetched(asked.repository, instruction) if asked.repository else None
        if repository:
            folder = f"{OUT}/."
            asked = replace(asked, repository=None, patterns=(folder,), into_folder=True)
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
            is_context=not origin and not repository,
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
        if repository:
            layers = (self.context.store.unpacked(repository),)
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
                tree = stack.enter_context(
                    self.layers.opened(layers, is_context=request.is_context)
                )
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

    def _fetched(self, address: GitAddress, instruction: Instruction) -> Layer:
        """Return the files of a Git repository as a layer, below the folder `out`. Its bytes decide
        the step's key, so the repository is fetched at each build."""
        try:
            fetched = fetch(self.context, address, number=self.layers.next_number(), packed=False)
        except BadSource as failure:
            raise instruction.wrong(failure.what, hint=failure.hint) from None
        with self.context.helper.tree(fetched.tree, writable=True) as top:
            self.context.helper.call(
                work.forget_times, top=top, after=self.layers.begin, instead=FOLDER_TIME
            )
        return self.context.store.add_layer(fetched.tree, move=True, team=self.context.team)

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
