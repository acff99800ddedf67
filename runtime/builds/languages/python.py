"""Plan a Python build: the version, install steps and default web process. Pure."""

from __future__ import annotations

import posixpath
import re
import tomllib
from collections.abc import Mapping
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from runtime.builds.languages import pipenv, poetry
from runtime.builds.languages.detect import PYTHON_FILES, PYTHON_LOCKS, Source
from runtime.builds.languages.language import USUAL_PATH, Inputs, Language, Runtimes
from runtime.builds.steps import Install, Tool
from runtime.errors import BadSource
from runtime.stacks.definition import GIT, PYTHON_DEFAULT
from runtime.stacks.stack import DebianRuntime

VENV = "/opt/venv"
_LONGEST_WISH = 200  # characters
_KEEP = ("opt/venv",)
_MADE = re.compile(
    r"^(\w+)[ \t]*(?::[^=\n]+)?=[ \t]*(FastAPI|Starlette|Quart|Flask)\(", re.MULTILINE
)  # within a line, so the time is linear in the file
_INCLUDE = re.compile(r"(?:-r|-c|--requirement|--constraint)[ =]*(\S+)")
_LOCAL = re.compile(
    r"(?:-e|--editable)\b|\.{0,2}/|file:|\.(?:\s|\[|$)|\S+\s*@\s*(?:file:|\.{0,2}/)|\S+\.(?:whl|tar\.gz|zip)(?:\s|$)|(?:-f|--find-links)["
    r" =]\."
)


def _runtime(inputs: Inputs) -> tuple[DebianRuntime, str]:
    """Return the requested Python of those available, and the text for the log.

    BadSource lists the versions that exist.
    """
    offered = inputs.pythons
    wanted, where = _wish(inputs.source, offered)
    if wanted in offered:
        return offered[wanted], f"Python {wanted}, {where}"
    raise BadSource(
        f"{where} requires Python {wanted}, which is not available. Available:"
        f" {', '.join(sorted(offered, key=_parts))}.",
        hint=f"Write {PYTHON_DEFAULT} there, or remove it.",
    )


class Python(Language):
    def runtime(self, inputs: Inputs) -> Runtimes:
        """Return the requested Python of those available."""
        runtime, words = _runtime(inputs)
        return Runtimes(main=runtime, words=words)

    def installs(self, inputs: Inputs) -> tuple[Install, ...]:
        """Return the steps that make /opt/venv; none if the source requires no packages."""
        source = inputs.source
        python = _runtime(inputs)[0].executable
        venv = f"uv venv --quiet --python {python} {VENV}"
        editable = f"uv pip install --python {VENV} --no-deps -e ."
        match decides(source):
            case "uv.lock":
                return _of_lock(source, venv)
            case "poetry.lock":
                first = poetry.of_lock(_toml(source, "poetry.lock"), python, venv, VENV)
                return (first, *_project(source, editable))
            case "Pipfile.lock":
                return (pipenv.of_lock(source.texts.get("Pipfile.lock", ""), venv, VENV),)
            case "requirements.txt":
                return (_of_requirements(source, venv),)
            case "Pipfile":
                return (pipenv.without_lock(_toml(source, "Pipfile"), venv, VENV),)
            case "pyproject.toml" if _is_poetrys(source):
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
        packages = _packages(source)
        if "manage.py" in source.files:
            wsgi = next(
                (path for path in sorted(source.files) if re.fullmatch(r"[^/]+/wsgi\.py", path)), ""
            )
            if wsgi and "gunicorn" in packages:
                return (
                    f"gunicorn --bind 0.0.0.0:$PORT {wsgi.partition('/')[0]}.wsgi",
                    "manage.py is Django's and gunicorn is a dependency",
                )
            return (
                "python manage.py runserver --noreload 0.0.0.0:$PORT",
                "manage.py is Django's; add gunicorn as a dependency for production",
            )
        for file in ("app.py", "main.py", "server.py", "wsgi.py", "asgi.py", "web.py"):
            text, module = source.texts.get(file, ""), file.removesuffix(".py")
            if (made := _MADE.search(text)) is None:
                continue
            name, kind = made[1], made[2]
            if kind != "Flask" and "uvicorn" in packages:
                return (
                    f"uvicorn {module}:{name} --host 0.0.0.0 --port $PORT",
                    f"{file} creates a {kind} app",
                )
            if kind == "Flask" and "gunicorn" in packages:
                return (
                    f"gunicorn --bind 0.0.0.0:$PORT {module}:{name}",
                    f"{file} creates a Flask app",
                )
            if kind == "Flask":
                return (
                    f"flask --app {module}:{name} run --host 0.0.0.0 --port $PORT",
                    f"{file} creates a Flask app, and gunicorn is not a dependency",
                )
        for file in ("app.py", "main.py", "server.py", "web.py"):
            if file in source.files:
                return f"python3 {file}", f"there is a {file}"
        return None

    def environment(self, inputs: Inputs) -> dict[str, str]:
        made = bool(self.installs(inputs))
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
        said = []
        if unread := [
            name
            for name in (*PYTHON_LOCKS, "requirements.txt")
            if name in source.files and name != file and file
        ]:
            said.append(f"Note: {file} is used; {' and '.join(unread)} is ignored.")
        pipfile = (
            _toml(source, "Pipfile") if file == "Pipfile.lock" and "Pipfile" in source.files else {}
        )
        if pipfile and pipenv.is_stale(pipfile, source.texts.get("Pipfile.lock", "")):
            said.append(
                "Warning: Pipfile.lock is not from this Pipfile, and is used. Run `pipenv lock` to"
                " update it."
            )
        lock = {
            "Pipfile": "Pipfile.lock",
            "pyproject.toml": "poetry.lock" if _is_poetrys(source) else "uv.lock",
        }.get(file)
        if lock:
            said.append(
                f"Warning: without a {lock}, the first installation selects the newest versions."
            )
        return tuple(said)


def decides(source: Source) -> str:
    """Return the file that determines the packages.

    A lock has precedence over its input. "" if there is no such file.
    """
    document = _pyproject(source)
    for file in PYTHON_LOCKS:
        if file in source.files and (file == "Pipfile.lock" or "pyproject.toml" in source.files):
            return file
    for file in ("requirements.txt", "Pipfile"):
        if file in source.files:
            return file
    if {"dependencies", "dynamic"} & document.get("project", {}).keys() or _is_poetrys(source):
        return "pyproject.toml"
    if "setup.py" in source.files:
        return "setup.py"
    return "setup.cfg" if "[metadata]" in source.texts.get("setup.cfg", "") else ""


def _import_path(source: Source) -> str:
    """Return PYTHONPATH: the app's folder, and `src` if the project has its packages there."""
    return "/app/src:/app" if any(path.startswith("src/") for path in source.files) else "/app"


def _wish(source: Source, offered: Mapping[str, DebianRuntime]) -> tuple[str, str]:
    """Return (major.minor, the place that specifies it)."""
    for file, pattern in (
        (".python-version", r"(?:cpython-|python-?)?(\d+\.\d+)\S*"),
        ("runtime.txt", r"python-(\d+\.\d+)\S*"),
    ):
        if file not in source.files:
            continue
        line = next(
            (
                line.strip()
                for line in source.texts.get(file, "").splitlines()
                if line.strip() and not line.startswith("#")
            ),
            "",
        )
        line = line[:_LONGEST_WISH]
        if match := re.fullmatch(pattern, line):
            return match[1], file
        raise BadSource(
            f"{file} reads {line!r}, which is not a Python version.",
            hint=f"Write {PYTHON_DEFAULT} or python-{PYTHON_DEFAULT} there.",
        )
    if "Pipfile" in source.files and (found := pipenv.python_wish(_toml(source, "Pipfile"))):
        return ".".join(found[:_LONGEST_WISH].split(".")[:2]), "[requires] in the Pipfile"
    ranges, required, where = _ranges(source)
    for version in sorted(
        offered, key=lambda version: (version == PYTHON_DEFAULT, _parts(version)), reverse=True
    ):
        if any(
            specifiers.contains(f"{version}.{patch}") for specifiers in ranges for patch in (0, 99)
        ):
            return version, where if required else "the default"
    return required, f"{where} in pyproject.toml"


def _ranges(source: Source) -> tuple[tuple[SpecifierSet, ...], str, str]:
    """Return (ranges one of which must match, the original text, the name of its place)."""
    document = _pyproject(source)
    required, where = str(document.get("project", {}).get("requires-python", "")), "requires-python"
    poetrys = "" if required else str(_poetry(document).get("dependencies", {}).get("python", ""))
    if poetrys:
        required, where = poetrys, "tool.poetry.dependencies.python"
    if len(required) > _LONGEST_WISH:
        raise BadSource(
            f"{where} in pyproject.toml is too long for a range of versions.",
            hint='Write ">=3.11".',
        )
    if poetrys:
        return poetry.python_ranges(poetrys), required, where
    try:
        return (SpecifierSet(required),), required, where
    except InvalidSpecifier:
        raise BadSource(
            f"{where} in pyproject.toml reads {required!r}, which is not a valid range of"
            " versions.",
            hint='Write ">=3.11".',
        ) from None


def _of_requirements(source: Source, venv: str) -> Install:
    reads, whole = _requirements(source)
    files = tuple(sorted(reads | ({"pyproject.toml"} & source.files if whole else set())))
    install = f"uv pip install --python {VENV} -r requirements.txt"
    beside = (GIT,) if any("git+" in source.texts.get(file, "") for file in reads) else ()
    return Install(
        name="Dependencies",
        tool=Tool.UV,
        files=files,
        whole=whole,
        command=f"{venv} && {install}",
        keep=_KEEP,
        beside=beside,
    )


def _of_pyproject(source: Source, venv: str) -> Install:
    document = _pyproject(source)
    install = f"uv pip install --python {VENV} -r pyproject.toml"
    whole = "dynamic" in document.get("project", {}) or bool(
        document.get("tool", {}).get("uv", {}).get("sources")
    )
    beside = (GIT,) if re.search(r"git\+|\bgit\s*=", source.texts.get("pyproject.toml", "")) else ()
    command = f"{venv} && {install}"
    return Install(
        name="Dependencies",
        tool=Tool.UV,
        files=("pyproject.toml",),
        whole=whole,
        command=command,
        keep=_KEEP,
        beside=beside,
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


def _parts(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def _of_lock(source: Source, venv: str) -> tuple[Install, ...]:
    lock = _toml(source, "uv.lock")
    sources = [package.get("source", {}) for package in lock.get("package", ())]
    local = [
        entry.get(kind)
        for entry in sources
        for kind in ("editable", "directory", "path")
        if entry.get(kind)
    ]
    whole = any(path != "." for path in local)
    sync = "uv sync --frozen --no-dev" + ("" if whole else " --no-install-project")
    command = f"{venv} && UV_PROJECT_ENVIRONMENT={VENV} {sync}"
    files, beside = (
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
        beside=beside,
    )
    if whole:
        return (first,)
    return (first, *_project(source, f"UV_PROJECT_ENVIRONMENT={VENV} uv sync --frozen --no-dev"))


def _project(source: Source, command: str) -> tuple[Install, ...]:
    """Return the step that installs a project with its own commands. It reads the whole source."""
    document = _pyproject(source)
    commands = {"scripts", "entry-points", "gui-scripts"} & document.get("project", {}).keys() | {
        "scripts",
        "plugins",
    } & _poetry(document).keys()
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


def _requirements(source: Source) -> tuple[set[str], bool]:
    """Return the files that a requirements.txt includes, and whether it refers to the source
    itself.
    """
    reads: set[str] = set()
    pending, whole = ["requirements.txt"], False
    while pending:
        file = pending.pop()
        if file in reads:
            continue
        reads.add(file)
        for number, line in enumerate(source.texts.get(file, "").splitlines(), start=1):
            content = line.strip()
            if match := _INCLUDE.match(content):
                if "://" in match[1]:
                    continue
                included = posixpath.normpath(posixpath.join(posixpath.dirname(file), match[1]))
                if included not in source.files:
                    raise BadSource(
                        f"{file}, line {number}, includes {match[1]}, which is not in the source.",
                        hint="Add it, or remove the line.",
                    )
                if included not in source.texts:
                    whole = True
                pending.append(included)
            elif (
                not content.startswith("#")
                and _LOCAL.match(content)
                and "://" not in content.removeprefix("file://")
            ):
                whole = True
    return reads, whole


def _packages(source: Source) -> set[str]:
    """Return names of dependencies, approximately: sufficient to choose a server."""
    texts = [
        source.texts[file]
        for file in PYTHON_FILES
        if file in source.texts and not file.startswith("requirements")
    ]
    texts += [source.texts[file] for file in source.texts if file.startswith("requirements")]
    return {
        name
        for name in ("gunicorn", "uvicorn", "flask", "django")
        if any(re.search(rf"\b{name}\b", text, re.IGNORECASE) for text in texts)
    }


def _is_poetrys(source: Source) -> bool:
    """Return whether pyproject.toml names its dependencies in Poetry's own format."""
    document = _pyproject(source)
    return (
        bool(_poetry(document))
        and "dependencies" not in document.get("project", {})
        and "dependencies" in _poetry(document)
    )


def _poetry(document: Mapping[str, Any]) -> Mapping[str, Any]:
    table = document.get("tool", {}).get("poetry", {})
    return table if isinstance(table, dict) else {}


def _pyproject(source: Source) -> dict[str, Any]:
    document = _toml(source, "pyproject.toml") if "pyproject.toml" in source.files else {}
    for name in ("project", "tool"):
        if not isinstance(document.get(name, {}), dict):
            raise BadSource(
                f"{name} in pyproject.toml is not a table.", hint=f"Write it as [{name}]."
            )
    return document


def _toml(source: Source, file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(source.texts.get(file, ""))
    except tomllib.TOMLDecodeError as error:
        raise BadSource(
            f"{file} is not valid TOML: {error}.", hint="Correct it and deploy again."
        ) from None
