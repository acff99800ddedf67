"""How a source is built: the runtime, the install steps and the processes. Pure; nothing is read, run or asked here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from runtime.builds import plan_go, plan_java, plan_node, plan_php, plan_python, plan_ruby, procfile
from runtime.builds.detect import STATIC_FOLDERS, Detected, Language, Source, detect
from runtime.builds.steps import Install
from runtime.errors import BadSource
from runtime.stacks.definition import STATIC, Runtime


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildPlan:
    """All that is to be done, decided before any of it is."""

    detected: Detected
    runtime: Runtime | None
    runtime_words: str  # for the log: what and why, or ""
    installs: tuple[Install, ...]
    environment: Mapping[str, str]
    processes: Mapping[str, str]
    left_out: tuple[str, ...] = ()  # top folders that do not go into the image
    toolchain: Runtime | None = None  # what the install steps stand on, where that is not what the app does
    bare: bool = False  # the image holds what the steps made and certificates: no stack, no code, no shell
    notes: tuple[str, ...] = field(default=())  # for the log


_ENVIRONMENT = {"LANG": "C.UTF-8", "HOME": "/app"}
_PATH = "/usr/local/bin:/usr/bin:/bin"


def plan(source: Source, node_versions: Callable[[], list[str]]) -> BuildPlan:
    """BadSource says what is missing or contradicts itself; `node_versions` is asked only for unusual wishes."""
    detected = detect(source)
    declared = procfile.parse(source.texts["Procfile"]) if "Procfile" in source.files else {}
    if detected.language is Language.PYTHON:
        return _python(source, detected, declared)
    if detected.language is Language.NODE:
        return _node(source, detected, declared, node_versions)
    if detected.language is Language.GO:
        return _go(source, detected, declared)
    if detected.language is Language.PHP:
        return _php(source, detected, declared)
    if detected.language is Language.RUBY:
        return _ruby(source, detected, declared)
    if detected.language is Language.JAVA:
        return _java(source, detected, declared)
    if detected.language is Language.STATIC:
        return _static(detected)
    environment = {**_ENVIRONMENT, "PATH": f"/app/bin:{_PATH}"}
    return BuildPlan(detected=detected, runtime=None, runtime_words="", installs=(), environment=environment, processes=declared)


def _python(source: Source, detected: Detected, declared: Mapping[str, str]) -> BuildPlan:
    runtime, words = plan_python.runtime(source)
    installs = plan_python.installs(source, runtime)
    processes, notes = _with_default(declared, plan_python.web(source))
    path = f"/opt/venv/bin:{_PATH}" if installs else _PATH
    environment = {**_ENVIRONMENT, "PATH": path, "PYTHONUNBUFFERED": "1", "PYTHONPATH": plan_python.import_path(source)}
    if installs:
        environment["VIRTUAL_ENV"] = "/opt/venv"
    return BuildPlan(
        detected=detected,
        runtime=runtime,
        runtime_words=words,
        installs=installs,
        environment=environment,
        processes=processes,
        left_out=plan_python.left_out(source),
        notes=(*notes, *plan_python.notes(source)),
    )


def _node(source: Source, detected: Detected, declared: Mapping[str, str], versions: Callable[[], list[str]]) -> BuildPlan:
    runtime, words = plan_node.runtime(source, versions)
    processes, notes = _with_default(declared, plan_node.web(source))
    return BuildPlan(
        detected=detected,
        runtime=runtime,
        runtime_words=words,
        installs=plan_node.installs(source),
        environment={**_ENVIRONMENT, "PATH": f"/app/node_modules/.bin:{_PATH}", "NODE_ENV": "production"},
        processes=processes,
        left_out=("node_modules",) if "package.json" in source.files else (),
        notes=(*notes, *plan_node.notes(source)),
    )


def _go(source: Source, detected: Detected, declared: Mapping[str, str]) -> BuildPlan:
    toolchain, words = plan_go.runtime(source)
    plan_go.check(declared, source)
    processes, notes = (declared, ()) if _serves(declared) else _with_default(declared, plan_go.web(source))
    return BuildPlan(
        detected=detected,
        runtime=None,
        runtime_words=words,
        toolchain=toolchain,
        bare=True,
        installs=plan_go.installs(source),
        environment={**_ENVIRONMENT, "PATH": plan_go.BIN},
        processes=processes,
        notes=(*notes, *plan_go.notes(source)),
    )


def _php(source: Source, detected: Detected, declared: Mapping[str, str]) -> BuildPlan:
    runtime, words = plan_php.runtime(source)
    processes, notes = (declared, ()) if _serves(declared) else _with_default(declared, plan_php.web(source))
    return BuildPlan(
        detected=detected,
        runtime=runtime,
        runtime_words=words,
        toolchain=plan_php.toolchain(source),
        installs=plan_php.installs(source),
        environment={**_ENVIRONMENT, "PATH": f"/app/vendor/bin:{_PATH}"},
        processes=processes,
        left_out=plan_php.left_out(source),
        notes=(*notes, *plan_php.notes(source)),
    )


def _ruby(source: Source, detected: Detected, declared: Mapping[str, str]) -> BuildPlan:
    runtime, words = plan_ruby.runtime(source)
    processes, notes = _with_default(declared, plan_ruby.web(source))
    return BuildPlan(
        detected=detected,
        runtime=runtime,
        runtime_words=words,
        toolchain=plan_ruby.toolchain(runtime),
        installs=plan_ruby.installs(source),
        environment={**_ENVIRONMENT, "PATH": f"/app/bin:{plan_ruby.GEMS}/bin:{_PATH}", **plan_ruby.environment(source)},
        processes=processes,
        notes=(*notes, *plan_ruby.notes(source)),
    )


def _java(source: Source, detected: Detected, declared: Mapping[str, str]) -> BuildPlan:
    runtime, words = plan_java.runtime(source, declared)
    processes, notes = (declared, ()) if _serves(declared) else _with_default(declared, plan_java.web(source))
    return BuildPlan(
        detected=detected,
        runtime=runtime,
        runtime_words=words,
        installs=plan_java.installs(source),
        environment={**_ENVIRONMENT, "PATH": _PATH},
        processes=processes,
        notes=notes,
    )


def _static(detected: Detected) -> BuildPlan:
    folder = next(folder for folder in STATIC_FOLDERS if detected.because == f"{folder}index.html")
    return BuildPlan(
        detected=detected,
        runtime=STATIC,
        runtime_words="nginx serves the files",
        installs=(),
        environment={**_ENVIRONMENT, "PATH": _PATH},
        processes={"web": f"/opt/static/serve /app/{folder}".rstrip("/")},
    )


def _with_default(declared: Mapping[str, str], default: tuple[str, str] | None) -> tuple[Mapping[str, str], tuple[str, ...]]:
    """The Procfile's processes; without any (a release phase is none), a web process by convention and the note that says so."""
    if _serves(declared):
        return declared, ()
    if default is None:
        raise BadSource(
            "There is no Procfile, and no file that tells how to start the app.", hint="Add a Procfile with a line `web: COMMAND`."
        )
    command, why = default
    return {**declared, "web": command}, (f"Web process: `{command}`, since {why}. A Procfile says otherwise.",)


def _serves(declared: Mapping[str, str]) -> bool:
    """Whether the Procfile names what runs; a release phase alone is nothing that runs."""
    return any(name != "release" for name in declared)
