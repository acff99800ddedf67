"""Plan a build: the runtime, the install steps and the processes.

Pure; reads nothing and runs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from runtime.builds.languages.detect import Detected, Source, detect
from runtime.builds.languages.language import USUAL_PATH, Inputs, Language
from runtime.builds.languages.registry import LANGUAGES
from runtime.builds.manifest import procfile
from runtime.builds.steps import Install, in_order
from runtime.stacks.definition import PYTHON, stack_of
from runtime.stacks.stack import DebianRuntime, Runtime, Stack


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildPlan:
    """All steps of a build, decided before the first one runs."""

    detected: Detected
    runtime: Runtime | None
    runtime_words: str  # for the log: the runtime and the reason, or ""
    # further languages and tools of the image, each in its own layer
    also: tuple[Runtime, ...] = ()
    # a preceding stage; the image has none of its layers, only the folder `takes` of the last one
    earlier: BuildPlan | None = None
    takes: str = ""  # a folder that the earlier stage makes; it is the source of this stage
    installs: tuple[Install, ...]
    environment: Mapping[str, str]
    processes: Mapping[str, str]
    left_out: tuple[str, ...] = ()  # top folders that do not go into the image
    toolchain: Runtime | None = (
        None  # the base of the install steps, if it differs from that of the app
    )
    # the image holds the results of the steps and certificates: no stack, no code, no shell
    bare: bool = False
    notes: tuple[str, ...] = field(default=())  # for the log

    @property
    def stack(self) -> Stack:
        """Return the stack of the first language that consists of its packages.

        Node.js runs on any stack.
        """
        return next(
            (
                stack_of(runtime)
                for runtime in (self.runtime, *self.also)
                if isinstance(runtime, DebianRuntime)
            ),
            stack_of(None),
        )


_ENVIRONMENT = {"LANG": "C.UTF-8", "HOME": "/app"}
_NO_PROCESS = {
    "none": ""
}  # for a language that builds for another: nothing of it is started, so nothing is missing


def plan(
    source: Source,
    node_versions: Callable[[], list[str]],
    pythons: Mapping[str, DebianRuntime] = PYTHON,
) -> BuildPlan:
    """Return the plan. BadSource names the missing or contradicting part.

    `node_versions` is called only for unusual versions.
    """
    detected = detect(source)
    declared = procfile.parse(source.texts["Procfile"]) if "Procfile" in source.files else {}
    declared |= source.app_file.commands
    inputs = Inputs(
        source=source,
        detected=detected,
        commands=declared,
        node_versions=node_versions,
        pythons=pythons,
    )
    build_plan = _of_language(LANGUAGES[detected.language], inputs)
    if build_plan.earlier is not None:  # the other languages are stages of this one
        return build_plan
    for name in reversed(detected.first):
        before = replace(
            inputs, detected=replace(detected, language=name, first=()), commands=_NO_PROCESS
        )
        build_plan = joined(_of_language(LANGUAGES[name], before), build_plan)
    return build_plan


def _of_language(language: Language, inputs: Inputs) -> BuildPlan:
    """Return the plan of one language."""
    runtime = language.runtime(inputs)
    language.check(inputs)
    stage = language.earlier(inputs)
    earlier = None if stage is None else _of_language(stage, replace(inputs, commands=_NO_PROCESS))
    installs = in_order(language.installs(inputs))
    processes, notes = language.processes(inputs)
    return BuildPlan(
        detected=inputs.detected,
        runtime=runtime.main,
        runtime_words=runtime.words,
        also=runtime.also,
        earlier=earlier,
        takes=language.takes if earlier is not None else "",
        installs=installs,
        environment={**_ENVIRONMENT, **language.environment(inputs)},
        processes=processes,
        left_out=language.left_out(inputs),
        toolchain=runtime.toolchain,
        bare=language.bare,
        notes=(*notes, *language.notes(inputs)),
    )


def joined(first: BuildPlan, last: BuildPlan) -> BuildPlan:
    """Join two languages in one image: the layers of both, and the last one's processes.

    In PATH, the first one's commands come after those of the last.
    """
    further = [
        runtime for runtime in (first.runtime, *first.also, *last.also) if runtime is not None
    ]
    own, usual = (plan.environment["PATH"].removesuffix(USUAL_PATH) for plan in (last, first))
    why = f"{first.detected.language} is built first, then {last.detected.language}, which serves"
    return replace(
        last,
        runtime_words="; ".join(
            words for words in (last.runtime_words, first.runtime_words) if words
        ),
        also=tuple(further),
        installs=in_order((*first.installs, *last.installs)),
        environment={**first.environment, **last.environment, "PATH": f"{own}{usual}{USUAL_PATH}"},
        left_out=tuple(sorted({*first.left_out, *last.left_out})),
        notes=(f"Several languages: {why}.", *first.notes, *last.notes),
    )
