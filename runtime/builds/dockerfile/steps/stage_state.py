"""The state of a stage while its steps run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from runtime.builds.dockerfile.settings import Settings
from runtime.builds.dockerfile.syntax import Instruction
from runtime.builds.history import with_step
from runtime.images.manifest import ImageConfig, Layer


@dataclass(slots=True, kw_only=True)
class StageState:
    """The state of a stage after some of its steps."""

    layers: list[Layer]  # bottom first
    settings: Settings
    arguments: dict[str, str] = field(default_factory=dict)

    @property
    def config(self) -> ImageConfig:
        return self.settings.config

    def add_to_history(self, instruction: Instruction, *, empty: bool) -> None:
        """Add an instruction to the image's history as it is written, without values of build
        arguments.
        """
        self.settings = replace(
            self.settings, config=with_step(self.config, instruction.text, empty=empty)
        )

    def values(self) -> dict[str, str]:
        """Return the variables that instructions can use: the build arguments and the
        environment.
        """
        return {**self.arguments, **self.config.environment}


Find = Callable[[str], StageState]  # returns the stage or image that an instruction names
