"""Group instructions into stages, and select those that the last stage needs. Pure."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass

from runtime.builds.dockerfile.syntax import (
    Instruction,
    Script,
    Words,
    check_stage_name,
    check_variable,
)
from runtime.errors import BadSource

SCRATCH = "scratch"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One FROM and the instructions after it."""

    number: int
    name: str  # in lower case; "" without AS
    base: str  # with variables replaced
    parent: int | None  # the number of the earlier stage that `base` names
    start: Instruction
    steps: tuple[Instruction, ...]

    def called(self) -> str:
        return self.name or f"stage {self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A whole Dockerfile."""

    stages: tuple[Stage, ...]
    arguments: Mapping[str, str]  # ARG before the first FROM, with the arguments of the build
    platform: Mapping[str, str]  # TARGETARCH and similar, for stages that declare them
    escape: str

    def find(self, name: str, before: int) -> Stage | None:
        """Return a stage by name or number that is earlier than the stage `before`."""
        wanted = name.lower()
        for stage in reversed(self.stages[:before]):
            if stage.name == wanted or str(stage.number) == wanted:
                return stage
        return None

    def needed(self) -> tuple[Stage, ...]:
        """Return the last stage and all stages that it needs, in order."""
        wanted = {len(self.stages) - 1}
        for stage in reversed(self.stages):  # a stage only refers to earlier ones
            if stage.number in wanted:
                wanted |= {
                    found.number
                    for name in _origins(stage)
                    if (found := self.find(name, stage.number))
                }
                if stage.parent is not None:
                    wanted.add(stage.parent)
        return tuple(stage for stage in self.stages if stage.number in wanted)


def platform_arguments(machine: str) -> dict[str, str]:
    """Return the arguments that BuildKit predefines.

    `machine` is the name that uname(2) returns.
    """
    architecture = _ARCHITECTURES.get(machine, machine)
    values = {
        "PLATFORM": f"linux/{architecture}",
        "OS": "linux",
        "ARCH": architecture,
        "VARIANT": "",
    }
    return {
        f"{side}{name}": value for side in ("TARGET", "BUILD") for name, value in values.items()
    }


def divide(script: Script, given: Mapping[str, str], machine: str) -> Recipe:
    """Return the stages.

    BadSource: no FROM, an instruction before it, or a stage that refers to itself or a later one.
    """
    platform = platform_arguments(machine)
    arguments: dict[str, str] = {}
    groups: list[list[Instruction]] = []
    for instruction in script.instructions:
        if instruction.name == "FROM":
            groups.append([instruction])
        elif groups:
            groups[-1].append(instruction)
        elif instruction.name == "ARG":
            for name, value in arguments_of(
                instruction, Words(script.escape, {**platform, **arguments})
            ):
                arguments[name] = given.get(name, value or "")
        else:
            raise instruction.wrong(
                f"{instruction.name} is before the first FROM.", hint="Only ARG is allowed there."
            )
    if not groups:
        raise BadSource(
            "The Dockerfile has no FROM.", hint="Start with a line such as FROM debian-13."
        )
    stages: list[Stage] = []
    for number, (start, *steps) in enumerate(groups):
        stages.append(
            _stage(
                number,
                start,
                tuple(steps),
                stages,
                Words(script.escape, {**platform, **arguments}),
                platform,
            )
        )
    recipe = Recipe(
        stages=tuple(stages), arguments=arguments, platform=platform, escape=script.escape
    )
    for stage in stages:
        _check_origins(recipe, stage)
    return recipe


def arguments_of(instruction: Instruction, words: Words) -> list[tuple[str, str | None]]:
    """Return (name, default) of an ARG; None without a default."""
    found: list[tuple[str, str | None]] = []
    for word in instruction.args:
        name, equals, value = word.partition("=")
        found.append(
            (
                check_variable(words.expand(name, instruction), instruction),
                words.expand(value, instruction) if equals else None,
            )
        )
    return found


def _stage(
    number: int,
    start: Instruction,
    steps: tuple[Instruction, ...],
    earlier: list[Stage],
    words: Words,
    platform: Mapping[str, str],
) -> Stage:
    args = start.args
    if len(args) not in (1, 3) or (len(args) == 3 and args[1].lower() != "as"):
        raise start.wrong("FROM must be `FROM IMAGE` or `FROM IMAGE AS NAME`.")
    base = words.expand(args[0], start)
    if not base or re.search(r"\s", base):
        raise start.wrong(
            f"FROM {args[0]} has no image name.",
            hint="Give its ARG a default, before the first FROM.",
        )
    if wanted := start.flag("platform"):
        asked = words.expand(wanted, start)
        if asked and asked != platform["TARGETPLATFORM"]:
            raise start.wrong(
                f"--platform={asked} is not the platform of this machine,"
                f" {platform['TARGETPLATFORM']}.",
                hint="Remove --platform.",
            )
    name = check_stage_name(args[2], start) if len(args) == 3 else ""
    if name == SCRATCH:
        raise start.wrong("A stage cannot have the name scratch.")
    if name and any(stage.name == name for stage in earlier):
        raise start.wrong(f"Two stages have the name {name}.")
    parent = next(
        (stage.number for stage in reversed(earlier) if stage.name and stage.name == base.lower()),
        None,
    )
    return Stage(number=number, name=name, base=base, parent=parent, start=start, steps=steps)


def _origins(stage: Stage) -> list[str]:
    """Return the names in COPY --from and RUN --mount=from."""
    return [name for step in stage.steps for name in origins_of(step)]


def origins_of(step: Instruction) -> list[str]:
    found = list(step.every("from"))
    for text in step.every("mount"):
        try:
            fields = next(csv.reader([text]), [])
        except csv.Error:
            continue  # reported when the mount itself is parsed
        found += [
            field.partition("=")[2] for field in fields if field.strip().lower().startswith("from=")
        ]
    return found


def _check_origins(recipe: Recipe, stage: Stage) -> None:
    for step in stage.steps:
        for name in origins_of(step):
            later = (
                name.isdigit()
                or name.lower() == stage.name
                or recipe.find(name, len(recipe.stages)) is not None
            )
            if later and recipe.find(name, stage.number) is None:
                raise step.wrong(
                    f"--from={name} is not an earlier stage.",
                    hint="A stage can only use stages above it, not itself.",
                )
