"""Plan a build: the runtime, the install steps and the processes.

Pure; reads nothing and runs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from runtime.builds.languages import go, java, node, php, python, ruby, static
from runtime.builds.languages.detect import Detected, Language, Source, detect
from runtime.builds.manifest import procfile
from runtime.builds.steps import Install, in_order
from runtime.errors import BadSource
from runtime.stacks.definition import PYTHON, stack_of
from runtime.stacks.stack import DebianRuntime, Runtime, Stack
from runtime.stacks.static import STATIC


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildPlan:
    """All steps of a build, decided before the first one runs."""

    detected: Detected
    runtime: Runtime | None
    runtime_words: str  # for the log: the runtime and the reason, or ""
    also: tuple[Runtime, ...] = ()  # further languages and tools of the image, each in its own layer
    earlier: BuildPlan | None = None  # a preceding stage; the image has none of its layers, only the folder `takes` of the last one
    takes: str = ""  # a folder that the earlier stage makes; it is the source of this stage
    installs: tuple[Install, ...]
    environment: Mapping[str, str]
    processes: Mapping[str, str]
    left_out: tuple[str, ...] = ()  # top folders that do not go into the image
    toolchain: Runtime | None = None  # the base of the install steps, if it differs from that of the app
    bare: bool = False  # the image holds the results of the steps and certificates: no stack, no code, no shell
    notes: tuple[str, ...] = field(default=())  # for the log

    @property
    def stack(self) -> Stack:
        """Return the stack of the first language that consists of its packages.

        Node.js runs on any stack.
        """
        return next((stack_of(runtime) for runtime in (self.runtime, *self.also) if isinstance(runtime, DebianRuntime)), stack_of(None))


_ENVIRONMENT = {"LANG": "C.UTF-8", "HOME": "/app"}
_PATH = "/usr/local/bin:/usr/bin:/bin"


def plan(source: Source, node_versions: Callable[[], list[str]], pythons: Mapping[str, DebianRuntime] = PYTHON) -> BuildPlan:
    """Return the plan. BadSource names the missing or contradicting part.

    `node_versions` is called only for unusual versions.
    """
    detected = detect(source)
    declared = procfile.parse(source.texts["Procfile"]) if "Procfile" in source.files else {}
    declared |= source.app_file.commands
    if detected.language is Language.STATIC:
        return _static(source, detected, node_versions)
    decided = _of_language(source, detected, declared, node_versions, pythons)
    for language in reversed(detected.first):
        before = replace(detected, language=language, first=())
        decided = joined(_of_language(source, before, _NO_PROCESS, node_versions, pythons), decided)
    return decided


_NO_PROCESS = {"none": ""}  # for a language that builds for another: nothing of it is started, so nothing is missing


def _of_language(
    source: Source,
    detected: Detected,
    declared: Mapping[str, str],
    versions: Callable[[], list[str]],
    pythons: Mapping[str, DebianRuntime],
) -> BuildPlan:
    if detected.language is Language.PYTHON:
        return _python(source, detected, declared, pythons)
    if detected.language is Language.NODE:
        return _node(source, detected, declared, versions)
    if detected.language is Language.GO:
        return _go(source, detected, declared)
    if detected.language is Language.PHP:
        return _php(source, detected, declared)
    if detected.language is Language.RUBY:
        return _ruby(source, detected, declared)
    if detected.language is Language.JAVA:
        return _java(source, detected, declared)
    environment = {**_ENVIRONMENT, "PATH": f"/app/bin:{_PATH}"}
    return BuildPlan(detected=detected, runtime=None, runtime_words="", installs=(), environment=environment, processes=declared)


def joined(first: BuildPlan, last: BuildPlan) -> BuildPlan:
    """Join two languages in one image: the layers of both, and the last one's processes.

    In PATH, the first one's commands come after those of the last.
    """
    further = [runtime for runtime in (first.runtime, *first.also, *last.also) if runtime is not None]
    own, usual = (plan.environment["PATH"].removesuffix(_PATH) for plan in (last, first))
    why = f"{first.detected.language} is built first, then {last.detected.language}, which serves"
    return replace(
        last,
        runtime_words="; ".join(words for words in (last.runtime_words, first.runtime_words) if words),
        also=tuple(further),
        installs=in_order((*first.installs, *last.installs)),
        environment={**first.environment, **last.environment, "PATH": f"{own}{usual}{_PATH}"},
        left_out=tuple(sorted({*first.left_out, *last.left_out})),
        notes=(f"Several languages: {why}.", *first.notes, *last.notes),
    )


def _python(source: Source, detected: Detected, declared: Mapping[str, str], pythons: Mapping[str, DebianRuntime]) -> BuildPlan:
    runtime, words = python.runtime(source, pythons)
    installs = python.installs(source, runtime)
    processes, notes = _with_default(declared, python.web(source))
    path = f"/opt/venv/bin:{_PATH}" if installs else _PATH
    environment = {**_ENVIRONMENT, "PATH": path, "PYTHONUNBUFFERED": "1", "PYTHONPATH": python.import_path(source)}
    if installs:
        environment["VIRTUAL_ENV"] = "/opt/venv"
    return BuildPlan(
        detected=detected,
        runtime=runtime,
        runtime_words=words,
        installs=installs,
        environment=environment,
        processes=processes,
        left_out=python.left_out(source),
        notes=(*notes, *python.notes(source)),
    )


def _node(source: Source, detected: Detected, declared: Mapping[str, str], versions: Callable[[], list[str]]) -> BuildPlan:
    runtime, words = node.runtime(source, versions)
    by = node.installer(source)
    processes, notes = _with_default(declared, node.web(source, by))
    return BuildPlan(
        detected=detected,
        runtime=runtime,
        runtime_words=f"{words}{f'; {by.tool} {by.version}, by {by.because}' if by.manager else ''}",
        also=node.further(by),
        installs=in_order(node.installs(source, by)),
        environment={**_ENVIRONMENT, "PATH": f"/app/node_modules/.bin:{_PATH}", **node.environment(by)},
        processes=processes,
        left_out=("node_modules",) if "package.json" in source.files else (),
        notes=(*notes, *node.notes(source, by)),
    )


def _go(source: Source, detected: Detected, declared: Mapping[str, str]) -> BuildPlan:
    toolchain, words = go.runtime(source)
    go.check(declared, source)
    processes, notes = (declared, ()) if _serves(declared) else _with_default(declared, go.web(source))
    return BuildPlan(
        detected=detected,
        runtime=None,
        runtime_words=words,
        toolchain=toolchain,
        bare=True,
        installs=go.installs(source),
        environment={**_ENVIRONMENT, "PATH": go.BIN},
        processes=processes,
        notes=(*notes, *go.notes(source)),
    )


def _php(source: Source, detected: Detected, declared: Mapping[str, str]) -> BuildPlan:
    runtime, words = php.runtime(source)
    processes, notes = (declared, ()) if _serves(declared) else _with_default(declared, php.web(source))
    return BuildPlan(
        detected=detected,
        runtime=runtime,
        runtime_words=words,
        toolchain=php.toolchain(source),
        installs=php.installs(source),
        environment={**_ENVIRONMENT, "PATH": f"/app/vendor/bin:{_PATH}"},
        processes=processes,
        left_out=php.left_out(source),
        notes=(*notes, *php.notes(source)),
    )


def _ruby(source: Source, detected: Detected, declared: Mapping[str, str]) -> BuildPlan:
    runtime, words = ruby.runtime(source)
    processes, notes = _with_default(declared, ruby.web(source))
    return BuildPlan(
        detected=detected,
        runtime=runtime,
        runtime_words=words,
        toolchain=ruby.toolchain(runtime),
        installs=ruby.installs(source),
        environment={**_ENVIRONMENT, "PATH": f"/app/bin:{ruby.GEMS}/bin:{_PATH}", **ruby.environment(source)},
        processes=processes,
        notes=(*notes, *ruby.notes(source)),
    )


def _java(source: Source, detected: Detected, declared: Mapping[str, str]) -> BuildPlan:
    runtime, words = java.runtime(source, declared)
    processes, notes = (declared, ()) if _serves(declared) else _with_default(declared, java.web(source))
    return BuildPlan(
        detected=detected,
        runtime=runtime,
        runtime_words=words,
        installs=java.installs(source),
        environment={**_ENVIRONMENT, "PATH": _PATH},
        processes=processes,
        notes=notes,
    )


def _static(source: Source, detected: Detected, versions: Callable[[], list[str]]) -> BuildPlan:
    """Plan a static site: the folder as it is, or the result of a Node.js build without the files that made it."""
    asked = source.app_file.static
    static.check(asked)
    earlier = None
    if detected.first:
        made = _node(source, detected, _NO_PROCESS, versions)
        installs = static.made_by_node(source, node.installer(source), asked)
        earlier = replace(made, installs=in_order(installs), notes=())
    folder = "" if earlier else static.folder(source, asked)
    words = "nginx serves the files" + (", unknown paths get index.html" if asked.single_page else "")
    by_node = "Node.js builds the site; the image gets the build's output, without Node.js and node_modules."
    return BuildPlan(
        detected=detected,
        runtime=STATIC,
        runtime_words=words,
        earlier=earlier,
        takes=static.SITE if earlier else "",
        installs=static.installs(folder),
        environment={**_ENVIRONMENT, "PATH": _PATH},
        processes={"web": static.serve(folder, asked), **source.app_file.commands},
        notes=(by_node, *(note for note in made.notes if note.startswith("Warning"))) if earlier else (),
    )


def _with_default(declared: Mapping[str, str], default: tuple[str, str] | None) -> tuple[Mapping[str, str], tuple[str, ...]]:
    """Return the Procfile's processes.

    If there are none except a release phase, add a conventional web process, and a note about it.
    """
    if _serves(declared):
        return declared, ()
    if default is None:
        raise BadSource(
            "There is no Procfile, and no file that defines how to start the app.", hint="Add a Procfile with a line `web: COMMAND`."
        )
    command, why = default
    return {**declared, "web": command}, (f"Web process: `{command}`, since {why}. Add a Procfile to change it.",)


def _serves(declared: Mapping[str, str]) -> bool:
    """Return whether the Procfile names a process to run. A release phase is not one."""
    return any(name != "release" for name in declared)
