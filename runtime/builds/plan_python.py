"""Building Python: which version, which install steps, which default web process. Pure."""

from __future__ import annotations

import posixpath
import re
import tomllib
from collections.abc import Mapping
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from runtime.builds.detect import Source
from runtime.builds.steps import Install, Tool
from runtime.errors import BadSource
from runtime.stacks.definition import PYTHON, PYTHON_DEFAULT
from runtime.stacks.stack import DebianRuntime

VENV = "/opt/venv"
_LONGEST_WISH = 200  # characters
_KEEP = ("opt/venv",)
_MADE = re.compile(r"^(\w+)[ \t]*(?::[^=\n]+)?=[ \t]*(FastAPI|Starlette|Quart|Flask)\(", re.MULTILINE)  # within a line: linear in the file
_INCLUDE = re.compile(r"(?:-r|-c|--requirement|--constraint)[ =]*(\S+)")
_LOCAL = re.compile(
    r"(?:-e|--editable)\b|\.{0,2}/|file:|\.(?:\s|\[|$)|\S+\s*@\s*(?:file:|\.{0,2}/)|\S+\.(?:whl|tar\.gz|zip)(?:\s|$)|(?:-f|--find-links)[ =]\."
)


def runtime(source: Source, offered: Mapping[str, DebianRuntime] = PYTHON) -> tuple[DebianRuntime, str]:
    """The Python asked for, of those `offered` by version, with the words for the log; BadSource says which exist."""
    wanted, where = _wish(source, offered)
    if wanted in offered:
        return offered[wanted], f"Python {wanted}, {where}"
    raise BadSource(
        f"{where} asks for Python {wanted}, which is not offered here. Offered: {', '.join(sorted(offered, key=_parts))}.",
        hint=f"Ask for {PYTHON_DEFAULT} there, or for nothing.",
    )


def installs(source: Source, runtime: DebianRuntime) -> tuple[Install, ...]:
    """The steps that make /opt/venv; none where nothing is asked for."""
    venv = f"uv venv --quiet --python {runtime.executable} {VENV}"
    if "uv.lock" in source.files and "pyproject.toml" in source.files:
        return _of_lock(source, venv)
    if "requirements.txt" in source.files:
        reads, whole = _requirements(source)
        files = tuple(sorted(reads | ({"pyproject.toml"} & source.files if whole else set())))
        install = f"uv pip install --python {VENV} -r requirements.txt"
        return (Install(name="Dependencies", tool=Tool.UV, files=files, whole=whole, command=f"{venv} && {install}", keep=_KEEP),)
    project = _pyproject(source).get("project", {})
    if "pyproject.toml" in source.files and ("dependencies" in project or "dynamic" in project):
        install = f"uv pip install --python {VENV} -r pyproject.toml"
        whole = "dynamic" in project or bool(_pyproject(source).get("tool", {}).get("uv", {}).get("sources"))
        first = Install(
            name="Dependencies", tool=Tool.UV, files=("pyproject.toml",), whole=whole, command=f"{venv} && {install}", keep=_KEEP
        )
        return (first, *_project(source, f"uv pip install --python {VENV} --no-deps -e ."))
    if "poetry" in _pyproject(source).get("tool", {}):
        raise BadSource(
            "The pyproject.toml lists its dependencies for Poetry, which is not read yet.",
            hint="Make a requirements.txt: poetry export -o requirements.txt",
        )
    return ()


def web(source: Source) -> tuple[str, str] | None:
    """A web command by convention, and why; None where nothing tells."""
    packages = _packages(source)
    if "manage.py" in source.files:
        wsgi = next((path for path in sorted(source.files) if re.fullmatch(r"[^/]+/wsgi\.py", path)), "")
        if wsgi and "gunicorn" in packages:
            return f"gunicorn --bind 0.0.0.0:$PORT {wsgi.partition('/')[0]}.wsgi", "manage.py is Django's and gunicorn is a dependency"
        return (
            "python manage.py runserver --noreload 0.0.0.0:$PORT",
            "manage.py is Django's; gunicorn as a dependency would serve it better",
        )
    for file in ("app.py", "main.py", "server.py", "wsgi.py", "asgi.py", "web.py"):
        text, module = source.texts.get(file, ""), file.removesuffix(".py")
        if (made := _MADE.search(text)) is None:
            continue
        name, kind = made[1], made[2]
        if kind != "Flask" and "uvicorn" in packages:
            return f"uvicorn {module}:{name} --host 0.0.0.0 --port $PORT", f"{file} makes a {kind} app"
        if kind == "Flask" and "gunicorn" in packages:
            return f"gunicorn --bind 0.0.0.0:$PORT {module}:{name}", f"{file} makes a Flask app"
        if kind == "Flask":
            return (
                f"flask --app {module}:{name} run --host 0.0.0.0 --port $PORT",
                f"{file} makes a Flask app, and gunicorn is no dependency",
            )
    for file in ("app.py", "main.py", "server.py", "web.py"):
        if file in source.files:
            return f"python3 {file}", f"there is a {file}"
    return None


def import_path(source: Source) -> str:
    """PYTHONPATH: the app's folder, and `src` where a project keeps its packages there."""
    return "/app/src:/app" if any(path.startswith("src/") for path in source.files) else "/app"


def left_out(source: Source) -> tuple[str, ...]:
    """Virtual environments that were packed along: they are of another machine."""
    return tuple(sorted(path.partition("/")[0] for path in source.files if re.fullmatch(r"[^/]+/pyvenv\.cfg", path)))


def notes(source: Source) -> tuple[str, ...]:
    if "requirements.txt" in source.files and "uv.lock" in source.files and "pyproject.toml" in source.files:
        return ("Note: uv.lock decides; requirements.txt is not read.",)
    unpinned = "pyproject.toml" in source.files and not {"uv.lock", "requirements.txt"} & source.files
    return ("Note: without a uv.lock, versions are whatever is newest when they are installed first.",) if unpinned else ()


def _wish(source: Source, offered: Mapping[str, DebianRuntime]) -> tuple[str, str]:
    """(major.minor, where it says so)."""
    for file, pattern in ((".python-version", r"(?:cpython-|python-?)?(\d+\.\d+)\S*"), ("runtime.txt", r"python-(\d+\.\d+)\S*")):
        if file not in source.files:
            continue
        line = next((line.strip() for line in source.texts.get(file, "").splitlines() if line.strip() and not line.startswith("#")), "")
        line = line[:_LONGEST_WISH]
        if match := re.fullmatch(pattern, line):
            return match[1], file
        raise BadSource(
            f"{file} reads {line!r}, which is no Python version.", hint=f"Write {PYTHON_DEFAULT} or python-{PYTHON_DEFAULT} there."
        )
    required = str(_pyproject(source).get("project", {}).get("requires-python", ""))
    if len(required) > _LONGEST_WISH:
        raise BadSource("requires-python in pyproject.toml is longer than any range of versions.", hint='Write ">=3.11".')
    try:
        specifiers = SpecifierSet(required)
    except InvalidSpecifier:
        raise BadSource(
            f"requires-python in pyproject.toml reads {required!r}, which is no range of versions.", hint='Write ">=3.11".'
        ) from None
    for version in sorted(offered, key=lambda version: (version == PYTHON_DEFAULT, _parts(version)), reverse=True):
        if any(specifiers.contains(f"{version}.{patch}") for patch in (0, 99)):
            return version, "requires-python" if required else "the default"
    return required, "requires-python in pyproject.toml"


def _parts(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def _of_lock(source: Source, venv: str) -> tuple[Install, ...]:
    lock = _toml(source, "uv.lock")
    sources = [package.get("source", {}) for package in lock.get("package", ())]
    local = [entry.get(kind) for entry in sources for kind in ("editable", "directory", "path") if entry.get(kind)]
    whole = any(path != "." for path in local)
    sync = "uv sync --frozen --no-dev" + ("" if whole else " --no-install-project")
    command = f"{venv} && UV_PROJECT_ENVIRONMENT={VENV} {sync}"
    first = Install(name="Dependencies", tool=Tool.UV, files=("pyproject.toml", "uv.lock"), whole=whole, command=command, keep=_KEEP)
    if whole:
        return (first,)
    return (first, *_project(source, f"UV_PROJECT_ENVIRONMENT={VENV} uv sync --frozen --no-dev"))


def _project(source: Source, command: str) -> tuple[Install, ...]:
    """A project with commands of its own is installed too: a step that reads the whole source."""
    document = _pyproject(source)
    if "build-system" not in document or not {"scripts", "entry-points", "gui-scripts"} & document.get("project", {}).keys():
        return ()
    return (Install(name="Project", tool=Tool.UV, files=(), whole=True, command=command, keep=_KEEP),)


def _requirements(source: Source) -> tuple[set[str], bool]:
    """The files a requirements.txt is made of, and whether it points into the source itself."""
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
                        f"{file}, line {number}, includes {match[1]}, which is not in the source.", hint="Add it, or remove the line."
                    )
                if included not in source.texts:
                    whole = True
                pending.append(included)
            elif not content.startswith("#") and _LOCAL.match(content) and "://" not in content.removeprefix("file://"):
                whole = True
    return reads, whole


def _packages(source: Source) -> set[str]:
    """Names of what is depended on, roughly: enough to choose a server."""
    texts = [source.texts[file] for file in ("requirements.txt", "pyproject.toml", "uv.lock") if file in source.texts]
    texts += [source.texts[file] for file in source.texts if file.startswith("requirements")]
    return {
        name for name in ("gunicorn", "uvicorn", "flask", "django") if any(re.search(rf"\b{name}\b", text, re.IGNORECASE) for text in texts)
    }


def _pyproject(source: Source) -> dict[str, Any]:
    return _toml(source, "pyproject.toml") if "pyproject.toml" in source.files else {}


def _toml(source: Source, file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(source.texts.get(file, ""))
    except tomllib.TOMLDecodeError as error:
        raise BadSource(f"{file} is not valid TOML: {error}.", hint="Correct it and deploy again.") from None
