"""Group instructions into stages, and select those that the last stage needs. Pure."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass

from runtime.builds.dockerfile.syntax import Instruction, Script, Words, check_stage_name, check_variable
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
                wanted |= {found.number for name in _origins(stage) if (found := self.find(name, stage.number))}
                if stage.parent is not None:
                    wanted.add(stage.parent)
        return tuple(stage for stage in self.stages if stage.number in wanted)


def platform_arguments(machine: str) -> dict[str, str]:
    """Return the arguments that BuildKit predefines.

    `machine` is the name that uname(2) returns.
    """
    architecture = _ARCHITECTURES.get(machine, machine)
    one = {"PLATFORM": f"linux/{architecture}", "OS": "linux", "ARCH": architecture, "VARIANT": ""}
    return {f"{side}{name}": value for side in ("TARGET", "BUILD") for name, value in one.items()}


def divide(script: Script, given: Mapping[str, str], machine: str) -> Recipe:
    """Return the stages.

    BadSource: no FROM, an instruction before it, or a stage that refers to itself or a later one.
    """
    platform = platform_arguments(machine)
    arguments: dict[str, str] = {}
    groups: list[list[Instruction]] = []
    for one in script.instructions:
        if one.name == "FROM":
            groups.append([one])
        elif groups:
            groups[-1].append(one)
        elif one.name == "ARG":
            for name, value in arguments_of(one, Words(script.escape, {**platform, **arguments})):
                arguments[name] = given.get(name, value or "")
        else:
            raise one.wrong(f"{one.name} stands before the first FROM.", hint="Only ARG may stand there.")
    if not groups:
        raise BadSource("The Dockerfile has no FROM.", hint="Begin with FROM debian-13, for example.")
    stages: list[Stage] = []
    for number, (start, *steps) in enumerate(groups):
        stages.append(_stage(number, start, tuple(steps), stages, Words(script.escape, {**platform, **arguments}), platform))
    recipe = Recipe(stages=tuple(stages), arguments=arguments, platform=platform, escape=script.escape)
    for stage in stages:
        _check_origins(recipe, stage)
    return recipe


def arguments_of(one: Instruction, words: Words) -> list[tuple[str, str | None]]:
    """Return (name, default) of an ARG; None without a default."""
    found: list[tuple[str, str | None]] = []
    for word in one.args:
        name, equals, value = word.partition("=")
        found.append((check_variable(words.one(name, one), one), words.one(value, one) if equals else None))
    return found


def _stage(
    number: int, start: Instruction, steps: tuple[Instruction, ...], earlier: list[Stage], words: Words, platform: Mapping[str, str]
) -> Stage:
    args = start.args
    if len(args) not in (1, 3) or (len(args) == 3 and args[1].lower() != "as"):
        raise start.wrong("FROM reads `FROM IMAGE` or `FROM IMAGE AS NAME`.")
    base = words.one(args[0], start)
    if not base or re.search(r"\s", base):
        raise start.wrong(f"FROM {args[0]} names no image.", hint="Give its ARG a default, before the first FROM.")
    if wanted := start.flag("platform"):
        asked = words.one(wanted, start)
        if asked and asked != platform["TARGETPLATFORM"]:
            raise start.wrong(f"--platform={asked} is not this machine's, {platform['TARGETPLATFORM']}.", hint="Leave --platform out.")
    name = check_stage_name(args[2], start) if len(args) == 3 else ""
    if name == SCRATCH:
        raise start.wrong("A stage cannot be called scratch.")
    if name and any(stage.name == name for stage in earlier):
        raise start.wrong(f"There are two stages called {name}.")
    parent = next((stage.number for stage in reversed(earlier) if stage.name and stage.name == base.lower()), None)
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
        found += [field.partition("=")[2] for field in fields if field.strip().lower().startswith("from=")]
    return found


def _check_origins(recipe: Recipe, stage: Stage) -> None:
    for step in stage.steps:
        for name in origins_of(step):
            later = name.isdigit() or name.lower() == stage.name or recipe.find(name, len(recipe.stages)) is not None
            if later and recipe.find(name, stage.number) is None:
                raise step.wrong(f"--from={name} is not an earlier stage.", hint="A stage can only use stages above it, not itself.")
