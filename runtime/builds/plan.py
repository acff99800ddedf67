"""How a source is built: the runtime, the install steps and the processes. Pure; nothing is read, run or asked here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from runtime.builds import plan_node, plan_python, procfile
from runtime.builds.detect import STATIC_FOLDERS, Detected, Language, Source, detect
from runtime.builds.steps import Install
from runtime.errors import BadSource
from runtime.stacks.definition import PYTHON, STATIC
from runtime.stacks.stack import DebianRuntime, Runtime


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
    notes: tuple[str, ...] = field(default=())  # for the log


_ENVIRONMENT = {"LANG": "C.UTF-8", "HOME": "/app"}
_PATH = "/usr/local/bin:/usr/bin:/bin"


def plan(source: Source, node_versions: Callable[[], list[str]], pythons: Mapping[str, DebianRuntime] = PYTHON) -> BuildPlan:
    """BadSource says what is missing or contradicts itself; `node_versions` is asked only for unusual wishes."""
    detected = detect(source)
    declared = procfile.parse(source.texts["Procfile"]) if "Procfile" in source.files else {}
    if detected.language is Language.PYTHON:
        return _python(source, detected, declared, pythons)
    if detected.language is Language.NODE:
        return _node(source, detected, declared, node_versions)
    if detected.language is Language.STATIC:
        return _static(detected)
    environment = {**_ENVIRONMENT, "PATH": f"/app/bin:{_PATH}"}
    return BuildPlan(detected=detected, runtime=None, runtime_words="", installs=(), environment=environment, processes=declared)


def _python(source: Source, detected: Detected, declared: Mapping[str, str], pythons: Mapping[str, DebianRuntime]) -> BuildPlan:
    runtime, words = plan_python.runtime(source, pythons)
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
    if any(name != "release" for name in declared):
        return declared, ()
    if default is None:
        raise BadSource(
            "There is no Procfile, and no file that tells how to start the app.", hint="Add a Procfile with a line `web: COMMAND`."
        )
    command, why = default
    return {**declared, "web": command}, (f"Web process: `{command}`, since {why}. A Procfile says otherwise.",)
