"""Plan a Python build: the version, install steps and default web process. Pure."""

from __future__ import annotations

import re

from runtime.builds.languages import pipenv, poetry
from runtime.builds.languages.detect import PYTHON_LOCKS, Source
from runtime.builds.languages.language import USUAL_PATH, Inputs, Language, Runtimes
from runtime.builds.languages.python_build import compiled, on_code, run_commands, uv_lock
from runtime.builds.languages.python_build.on_code import VENV
from runtime.builds.languages.python_build.web import web_process
from runtime.builds.languages.python_files import (
    decides,
    is_poetry_project,
    locked_packages,
    poetry_table,
    pyproject,
    requirements,
    toml,
)
from runtime.builds.languages.python_version import runtime_of
from runtime.builds.steps import Install, Tool
from runtime.stacks.definition import GIT

_KEEP = ("opt/venv",)


class Python(Language):
    def runtime(self, inputs: Inputs) -> Runtimes:
        """Return the requested Python of those available."""
        runtime, words = runtime_of(inputs)
        return Runtimes(main=runtime, words=words)

    def check(self, inputs: Inputs) -> None:
        """Raise BadSource if uv.lock lacks a dependency of pyproject.toml."""
        if decides(inputs.source) == "uv.lock":
            uv_lock.check(inputs.source)

    def installs(self, inputs: Inputs) -> tuple[Install, ...]:
        """Return the steps that make /opt/venv, the app's hooks, and Django's collectstatic."""
        found = (
            *compiled.steps(inputs.source, self._packages(inputs)),
            *run_commands.steps(inputs),
        )
        return on_code.with_hooks(inputs.source, found, _import_path(inputs.source))

    def _packages(self, inputs: Inputs) -> tuple[Install, ...]:
        """Return the steps that make /opt/venv; none if the source requires no packages."""
        source = inputs.source
        python = runtime_of(inputs)[0].executable
        venv = f"uv venv --quiet --python {python} {VENV}"
        editable = f"uv pip install --python {VENV} --no-deps -e ."
        match decides(source):
            case "uv.lock":
                return _of_lock(source, venv)
            case "poetry.lock":
                first = poetry.of_lock(toml(source, "poetry.lock"), python, venv, VENV)
                return (first, *_project(source, editable))
            case "Pipfile.lock":
                return (pipenv.of_lock(source.texts.get("Pipfile.lock", ""), venv, VENV),)
            case "requirements.txt":
                return (_of_requirements(source, venv),)
            case "Pipfile":
                return (pipenv.without_lock(toml(source, "Pipfile"), venv, VENV),)
            case "pyproject.toml" if is_poetry_project(source):
                first = poetry.without_lock(
                    source.texts.get("pyproject.toml", ""), python, venv, VENV
                )
                return (first, *_project(source, editable))
            case "pyproject.toml":
                return (_of_pyproject(source, venv), *_project(source, editable))
            case "setup.py" | "setup.cfg" as file:
                return (_of_setup(file, venv),)
        return ()

    def web(self, source: Source) -> tuple[str, str] | None:
        """Return a web command by convention, and the reason; None if no file determines one."""
        return web_process(source)

    def environment(self, inputs: Inputs) -> dict[str, str]:
        made = bool(self._packages(inputs))
        found = {
            "PATH": f"{VENV}/bin:{USUAL_PATH}" if made else USUAL_PATH,
            "PYTHONUNBUFFERED": "1",
            "PYTHONPATH": _import_path(inputs.source),
        }
        return {**found, "VIRTUAL_ENV": VENV} if made else found

    def left_out(self, inputs: Inputs) -> tuple[str, ...]:
        """Return virtual environments that the source contains: they were made for another
        machine.
        """
        return tuple(
            sorted(
                path.partition("/")[0]
                for path in inputs.source.files
                if re.fullmatch(r"[^/]+/pyvenv\.cfg", path)
            )
        )

    def notes(self, inputs: Inputs) -> tuple[str, ...]:
        source = inputs.source
        file = decides(source)
        said = [*on_code.notes(source)]
        if unread := [
            name
            for name in (*PYTHON_LOCKS, "requirements.txt")
            if name in source.files and name != file and file
        ]:
            said.append(f"Note: {file} is used; {' and '.join(unread)} is ignored.")
        if file == "uv.lock":
            said += uv_lock.notes(source)
        pipfile = (
            toml(source, "Pipfile") if file == "Pipfile.lock" and "Pipfile" in source.files else {}
        )
        if pipfile and pipenv.is_stale(pipfile, source.texts.get("Pipfile.lock", "")):
            said.append(
                "Warning: Pipfile.lock is not from this Pipfile, and is used. Run `pipenv lock` to"
                " update it."
            )
        lock = {
            "Pipfile": "Pipfile.lock",
            "pyproject.toml": "poetry.lock" if is_poetry_project(source) else "uv.lock",
        }.get(file)
        if lock:
            said.append(
                f"Warning: without a {lock}, the first installation selects the newest versions."
            )
        return tuple(said)


def _import_path(source: Source) -> str:
    """Return PYTHONPATH: the app's folder, and `src` if the project has its packages there."""
    return "/app/src:/app" if any(path.startswith("src/") for path in source.files) else "/app"


def _of_requirements(source: Source, venv: str) -> Install:
    reads, whole = requirements(source)
    files = tuple(sorted(reads | ({"pyproject.toml"} & source.files if whole else set())))
    install = f"uv pip install --python {VENV} -r requirements.txt"
    build_runtimes = (GIT,) if any("git+" in source.texts.get(file, "") for file in reads) else ()
    return Install(
        name="Dependencies",
        tool=Tool.UV,
        files=files,
        whole=whole,
        command=f"{venv} && {install}",
        keep=_KEEP,
        build_runtimes=build_runtimes,
    )


def _of_pyproject(source: Source, venv: str) -> Install:
    document = pyproject(source)
    install = f"uv pip install --python {VENV} -r pyproject.toml"
    whole = "dynamic" in document.get("project", {}) or bool(
        document.get("tool", {}).get("uv", {}).get("sources")
    )
    build_runtimes = (
        (GIT,) if re.search(r"git\+|\bgit\s*=", source.texts.get("pyproject.toml", "")) else ()
    )
    command = f"{venv} && {install}"
    return Install(
        name="Dependencies",
        tool=Tool.UV,
        files=("pyproject.toml",),
        whole=whole,
        command=command,
        keep=_KEEP,
        build_runtimes=build_runtimes,
    )


def _of_setup(file: str, venv: str) -> Install:
    """Install the project in its own folder, so that the code of the release runs.

    Compiled modules are written next to it and stay, too.
    """
    own = "find /app -user 0 -exec chown -h 1000:1000 {} +"
    command = f"{venv} && uv pip install --python {VENV} -e . && rm -rf /app/build && {own}"
    says = f"uv pip install -e ., from {file}"
    keep = (*_KEEP, "app")
    return Install(
        name="Project",
        tool=Tool.UV,
        files=(),
        whole=True,
        command=command,
        says=says,
        keep=keep,
        on_code=True,
    )


def _of_lock(source: Source, venv: str) -> tuple[Install, ...]:
    lock = toml(source, "uv.lock")
    sources = [package.get("source", {}) for package in locked_packages(lock)]
    local = [
        entry.get(kind)
        for entry in sources
        for kind in ("editable", "directory", "path")
        if entry.get(kind)
    ]
    whole = any(path != "." for path in local)
    sync = "uv sync --frozen --no-dev" + ("" if whole else " --no-install-project")
    command = f"{venv} && UV_PROJECT_ENVIRONMENT={VENV} {sync}"
    files, build_runtimes = (
        ("pyproject.toml", "uv.lock"),
        (GIT,) if any("git" in entry for entry in sources) else (),
    )
    first = Install(
        name="Dependencies",
        tool=Tool.UV,
        files=files,
        whole=whole,
        command=command,
        keep=_KEEP,
        build_runtimes=build_runtimes,
    )
    if whole:
        return (first,)
    return (first, *_project(source, f"UV_PROJECT_ENVIRONMENT={VENV} uv sync --frozen --no-dev"))


def _project(source: Source, command: str) -> tuple[Install, ...]:
    """Return the step that installs a project with its own commands. It reads the whole source."""
    document = pyproject(source)
    commands = {"scripts", "entry-points", "gui-scripts"} & document.get("project", {}).keys() | {
        "scripts",
        "plugins",
    } & poetry_table(document).keys()
    if "build-system" not in document or not commands:
        return ()
    return (
        Install(
            name="Project",
            tool=Tool.UV,
            files=(),
            whole=True,
            command=command,
            keep=_KEEP,
            on_code=True,
        ),
    )
