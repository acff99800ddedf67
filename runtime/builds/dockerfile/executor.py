"""Build a Dockerfile: the stages that its last one needs, step by step.

The cache or a step provides each layer.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from runtime.builds.context import BuildContext
from runtime.builds.dockerfile import settings as configuration
from runtime.builds.dockerfile.base_images.bases import Bases
from runtime.builds.dockerfile.run.container import PATH
from runtime.builds.dockerfile.run.values import Options
from runtime.builds.dockerfile.settings import Settings
from runtime.builds.dockerfile.stages import SCRATCH, Recipe, Stage, arguments_of
from runtime.builds.dockerfile.steps.copy_step import CopySteps
from runtime.builds.dockerfile.steps.run_step import RunSteps
from runtime.builds.dockerfile.steps.stage_state import StageState
from runtime.builds.dockerfile.steps.step_layers import StepLayers
from runtime.builds.dockerfile.syntax import Instruction, Words, trigger
from runtime.builds.history import complete
from runtime.images.manifest import ImageConfig
from runtime.stacks.layer_names import layer_names


@dataclass(slots=True, kw_only=True)
class Executor:
    """One build of one Dockerfile."""

    context: BuildContext
    options: Options
    bases: Bases
    recipe: Recipe
    source: Path
    _done: dict[int, StageState] = field(default_factory=dict)
    _runs: RunSteps = field(init=False)
    _copies: CopySteps = field(init=False)

    def __post_init__(self) -> None:
        layers = StepLayers(context=self.context, source=self.source)
        self._runs = RunSteps(
            context=self.context, options=self.options, source=self.source, layers=layers
        )
        self._copies = CopySteps(context=self.context, layers=layers)

    def run(self) -> StageState:
        """Build all needed stages, and return the last one."""
        needed = self.recipe.needed()
        for stage in needed:
            self._done[stage.number] = self._stage(stage)
        if skipped := len(self.recipe.stages) - len(needed):
            self.context.log(
                f"{skipped} of {len(self.recipe.stages)} stages are not needed and were not built"
            )
        return self._done[needed[-1].number]

    def _stage(self, stage: Stage) -> StageState:
        state = self._begin(stage)
        state.settings = replace(state.settings, escape=self.recipe.escape)
        triggers = [
            trigger(stage.start, text, self.recipe.escape) for text in state.config.on_build
        ]
        state.settings = replace(state.settings, config=replace(state.config, on_build=()))
        steps = (*triggers, *stage.steps)
        for number, instruction in enumerate(steps, start=1):
            self.context.check()
            self._step(state, instruction, stage, f"[{stage.called()} {number}/{len(steps)}]")
        return state

    def _begin(self, stage: Stage) -> StageState:
        if stage.parent is not None:
            earlier = self._done[stage.parent]
            return StageState(
                layers=[*earlier.layers],
                settings=Settings(config=earlier.config),
            )
        if stage.base.lower() == SCRATCH:
            return StageState(
                layers=[],
                settings=Settings(
                    config=ImageConfig(environment={"PATH": PATH}, user="", working_directory="/")
                ),
            )
        layers, config = self.bases.find(stage.base, stage.start)
        return StageState(
            layers=layers,
            settings=Settings(config=complete(config, layers, layer_names(self.context.config))),
        )

    def _step(self, state: StageState, instruction: Instruction, stage: Stage, label: str) -> None:
        def find(name: str) -> StageState:
            return self._state_of(name, instruction, stage)

        words = Words(self.recipe.escape, state.values())
        if instruction.name == "ARG":
            self._declare(state, instruction, words)
            state.add_to_history(instruction, empty=True)
        elif instruction.name == "RUN":
            self._runs.add(state, instruction, words, label, find)
        elif instruction.name in ("COPY", "ADD"):
            self._copies.add(state, instruction, words, label, find)
        elif configuration.applies_to(instruction.name):
            if instruction.name == "LABEL":
                for name in configuration.ignored_labels(instruction, words):
                    self.context.log(
                        f"Warning: Dockerfile, line {instruction.line}: the label {name} is"
                        " ignored. Only Slipway sets labels whose names begin with `slipway.`."
                    )
            state.settings = configuration.change(state.settings, instruction, words)
            if instruction.name == "WORKDIR":
                self._copies.add_directory(state, instruction, label)
            else:
                state.add_to_history(instruction, empty=True)
        else:
            raise instruction.wrong(f"{instruction.name} is not allowed here.")

    def _declare(self, state: StageState, instruction: Instruction, words: Words) -> None:
        for name, default in arguments_of(instruction, words):
            outer = (
                default
                if default is not None
                else self.recipe.arguments.get(name, self.recipe.platform.get(name))
            )
            value = self.options.arguments.get(name, outer)
            if value is not None:
                state.arguments[name] = value

    def _state_of(self, name: str, instruction: Instruction, stage: Stage) -> StageState:
        if found := self.recipe.find(name, stage.number):
            return self._done[found.number]
        layers, config = self.bases.find(name, instruction)
        return StageState(layers=layers, settings=Settings(config=config))
