"""Which language a source is in, told by its files. Pure: a listing and the text of small files in, a value out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from runtime.builds.appfile import TOML, AppFile
from runtime.errors import BadSource


class Language(StrEnum):
    PYTHON = "Python"
    NODE = "Node.js"
    STATIC = "static site"
    PLAIN = "Procfile"
    DOCKERFILE = "Dockerfile"


DOCKERFILE = "dockerfile"
BUILDERS = {
    "procfile" if language is Language.PLAIN else language.name.lower(): language for language in Language
}  # as slipway.toml says it


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """An unpacked source: every file's relative path, and the text of those that tell how to build it."""

    files: frozenset[str]
    texts: Mapping[str, str]
    app_file: AppFile = field(default_factory=AppFile)


@dataclass(frozen=True, slots=True, kw_only=True)
class Detected:
    language: Language
    because: str  # the file that told


STATIC_FOLDERS = ("", "public/", "dist/", "build/", "site/", "_site/", "www/")
_PYTHON = ("uv.lock", "requirements.txt", "pyproject.toml", "manage.py", ".python-version", "runtime.txt")
_LOOKED_FOR = "Dockerfile, Procfile, requirements.txt, pyproject.toml, uv.lock, manage.py, package.json, index.html (also in public, dist, build, site)"
ALWAYS_READ = frozenset(
    (
        *("Procfile", "package.json", "package-lock.json", "npm-shrinkwrap.json", "pyproject.toml", "uv.lock", "requirements.txt"),
        *("runtime.txt", ".python-version", ".node-version", ".nvmrc"),
    )
)
_TEXTS = re.compile(
    r"(?:Procfile|package\.json|package-lock\.json|npm-shrinkwrap\.json|pyproject\.toml|uv\.lock|runtime\.txt|\.python-version"
    r"|\.node-version|\.nvmrc|[^/]+\.py|(?:[^/]+/){0,2}[^/]+\.(?:txt|in))"
)


def wants_text(path: str) -> bool:
    """Whether a file may tell how to build its source."""
    return _TEXTS.fullmatch(path) is not None


def detect(source: Source) -> Detected:
    """BadSource: nothing is known that could build it; it says what was looked for."""
    if builder := source.app_file.building.builder:
        return _asked_for(source, builder)
    if "Dockerfile" in source.files:
        return Detected(language=Language.DOCKERFILE, because="Dockerfile")
    if "package.json" in source.files:
        python = next((name for name in _PYTHON[:3] if name in source.files and "Procfile" not in source.files), "")
        if python and not _has_start(source):
            return Detected(language=Language.PYTHON, because=python)
        return Detected(language=Language.NODE, because="package.json")
    if name := next((name for name in _PYTHON if name in source.files), ""):
        return Detected(language=Language.PYTHON, because=name)
    for later, remedy in (
        ("Pipfile", "pipenv requirements > requirements.txt"),
        ("poetry.lock", "poetry export -o requirements.txt"),
        ("setup.py", "echo . > requirements.txt"),
    ):
        if later in source.files and "Procfile" not in source.files:
            raise BadSource(f"The source has a {later}, which is not read yet.", hint=f"Make a requirements.txt: {remedy}")
    if "Procfile" in source.files or source.app_file.commands:
        return _of_procfile(source)
    if index := _index(source):
        return Detected(language=Language.STATIC, because=index)
    if name := next((name for name in ("app.py", "main.py") if name in source.files), ""):
        return Detected(language=Language.PYTHON, because=name)
    top = sorted({path.partition("/")[0] for path in source.files})
    shown = ", ".join(top[:8]) + (", …" if len(top) > 8 else "")
    raise BadSource(
        f"Nothing to build was found: looked for {_LOOKED_FOR}. The top of the source holds: {shown}.",
        hint="Add a Procfile with a line such as `web: ./start`, or one of these files, at the top.",
    )


def _of_procfile(source: Source) -> Detected:
    """A Procfile alone, or slipway.toml's commands: in Python if it has a Python file and a command that runs one."""
    lines = "\n".join((source.texts.get("Procfile", ""), *source.app_file.commands.values()))
    because = "Procfile" if "Procfile" in source.files else source.app_file.file
    runs_python = re.search(r"\b(?:python3?|gunicorn|uvicorn|flask|celery)\b", lines)
    if runs_python and any(path.endswith(".py") for path in source.files):
        return Detected(language=Language.PYTHON, because=because)
    if re.search(r"\b(?:node|npm|npx)\b", lines):
        return Detected(language=Language.NODE, because=because)
    return Detected(language=Language.PLAIN, because=because)


def _asked_for(source: Source, builder: str) -> Detected:
    """The builder that slipway.toml names."""
    language = BUILDERS[builder]
    if language is not Language.STATIC:
        return Detected(language=language, because=f"builder in {TOML}")
    if index := _index(source):
        return Detected(language=language, because=index)
    where = ", ".join(folder or "the top" for folder in _static_folders(source))
    raise BadSource(f"{TOML} asks for a static site, and there is no index.html in {where}.", hint="Name its folder as static.folder.")


def _index(source: Source) -> str:
    """A static site's first page, or ""."""
    return next((f"{folder}index.html" for folder in _static_folders(source) if f"{folder}index.html" in source.files), "")


def _static_folders(source: Source) -> tuple[str, ...]:
    folder = source.app_file.static.folder
    return (f"{folder}/",) if folder else STATIC_FOLDERS


def _has_start(source: Source) -> bool:
    return '"start"' in source.texts.get("package.json", "") or any(name in source.files for name in ("server.js", "index.js", "app.js"))
