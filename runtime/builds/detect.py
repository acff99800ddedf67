"""Which language a source is in, told by its files. Pure: a listing and the text of small files in, a value out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from runtime.builds.jar import attribute, is_program_place
from runtime.errors import BadSource


class Language(StrEnum):
    PYTHON = "Python"
    NODE = "Node.js"
    GO = "Go"
    PHP = "PHP"
    RUBY = "Ruby"
    JAVA = "Java"
    STATIC = "static site"
    PLAIN = "Procfile"
    DOCKERFILE = "Dockerfile"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """An unpacked source: every file's relative path, and the text of those that tell how to build it."""

    files: frozenset[str]
    texts: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Detected:
    language: Language
    because: str  # the file that told


JAVA_SOURCES = ("Main.java", "App.java", "Server.java")
STATIC_FOLDERS = ("", "public/", "dist/", "build/", "site/", "_site/", "www/")
_PYTHON = ("uv.lock", "requirements.txt", "pyproject.toml", "manage.py", ".python-version", "runtime.txt")
_LOOKED_FOR = (
    "Dockerfile, Procfile, requirements.txt, pyproject.toml, uv.lock, manage.py, package.json, go.mod, composer.json, index.php, Gemfile, "
    "config.ru, a .jar with a Main-Class, Main.java, index.html (also in public, dist, build, site)"
)
# Each of these at the top tells a language, whatever else is there, but for an app that Node.js starts.
_SURE = {
    "go.mod": Language.GO,
    "composer.json": Language.PHP,
    "Gemfile": Language.RUBY,
    "config.ru": Language.RUBY,
    "index.php": Language.PHP,
}
_STARTS = {r"(?:ruby|bundle|puma|rackup|rails)": Language.RUBY, r"(?:php|/opt/php/serve)": Language.PHP, r"java": Language.JAVA}
ALWAYS_READ = frozenset(
    (
        *("Procfile", "package.json", "package-lock.json", "npm-shrinkwrap.json", "pyproject.toml", "uv.lock", "requirements.txt"),
        *("runtime.txt", ".python-version", ".node-version", ".nvmrc"),
        *("go.mod", "composer.json", "composer.lock", "Gemfile", "Gemfile.lock", ".ruby-version", "system.properties", ".java-version"),
    )
)
_TEXTS = re.compile(
    r"(?:Procfile|package\.json|package-lock\.json|npm-shrinkwrap\.json|pyproject\.toml|uv\.lock|runtime\.txt|\.python-version"
    r"|\.node-version|\.nvmrc|go\.mod|composer\.json|composer\.lock|Gemfile|Gemfile\.lock|\.ruby-version|system\.properties|\.java-version"
    r"|(?:cmd/[^/]+/)?[^/]+\.go|[^/]+\.py|(?:[^/]+/){0,2}[^/]+\.(?:txt|in))"
)


def wants_text(path: str) -> bool:
    """Whether a file may tell how to build its source."""
    return _TEXTS.fullmatch(path) is not None or is_program_place(path)


def detect(source: Source) -> Detected:
    """BadSource: nothing is known that could build it; it says what was looked for."""
    if "Dockerfile" in source.files:
        return Detected(language=Language.DOCKERFILE, because="Dockerfile")
    started_by_node = "package.json" in source.files and _has_start(source)
    if (sure := next((name for name in _SURE if name in source.files), "")) and not started_by_node:
        return Detected(language=_SURE[sure], because=sure)
    if "package.json" in source.files:
        python = next((name for name in _PYTHON[:3] if name in source.files and "Procfile" not in source.files), "")
        if python and not started_by_node:
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
    if "Procfile" in source.files:
        return _of_procfile(source)
    if found := _of_program(source):
        return found
    top = sorted({path.partition("/")[0] for path in source.files})
    shown = ", ".join(top[:8]) + (", …" if len(top) > 8 else "")
    raise BadSource(
        f"Nothing to build was found: looked for {_LOOKED_FOR}. The top of the source holds: {shown}.",
        hint="Add a Procfile with a line such as `web: ./start`, or one of these files, at the top.",
    )


def _of_program(source: Source) -> Detected | None:
    """Told by nothing but what there is to serve or to start."""
    if "public/index.php" in source.files:
        return Detected(language=Language.PHP, because="public/index.php")
    if name := _java(source):
        return Detected(language=Language.JAVA, because=name)
    for folder in STATIC_FOLDERS:
        if f"{folder}index.html" in source.files:
            return Detected(language=Language.STATIC, because=f"{folder}index.html")
    if name := next((name for name in ("app.py", "main.py") if name in source.files), ""):
        return Detected(language=Language.PYTHON, because=name)
    return None


def _of_procfile(source: Source) -> Detected:
    """A Procfile alone: in Python if it has a Python file and a command that runs one."""
    runs_python = re.search(r"\b(?:python3?|gunicorn|uvicorn|flask|celery)\b", source.texts.get("Procfile", ""))
    if runs_python and any(path.endswith(".py") for path in source.files):
        return Detected(language=Language.PYTHON, because="Procfile")
    if re.search(r"\b(?:node|npm|npx)\b", source.texts.get("Procfile", "")):
        return Detected(language=Language.NODE, because="Procfile")
    for program, language in _STARTS.items():
        if re.search(rf"^\s*[\w-]+:\s*(?:\w+=\S+\s+)*(?:exec\s+)?{program}\b", source.texts.get("Procfile", ""), re.MULTILINE):
            return Detected(language=language, because="Procfile")
    return Detected(language=Language.PLAIN, because="Procfile")


def _java(source: Source) -> str:
    """The file that makes it Java, or "". BadSource: a project that has to be built by a tool which is not here."""
    found = [path for path in source.files if is_program_place(path) and attribute(source.texts.get(path, ""), "Main-Class")]
    if name := min(found, default="") or next((name for name in JAVA_SOURCES if name in source.files), ""):
        return name
    jar = next((path for path in sorted(source.files) if is_program_place(path)), "")
    project = next((name for name in ("pom.xml", "build.gradle", "build.gradle.kts") if name in source.files), "")
    if jar or project:
        what = f"{jar} names no Main-Class" if jar else f"The source has a {project}, and Maven and Gradle are not run here"
        raise BadSource(
            f"{what}: there is nothing to start.", hint="Pack a jar that runs (java -jar), and deploy it, in target or at the top."
        )
    return ""


def _has_start(source: Source) -> bool:
    return '"start"' in source.texts.get("package.json", "") or any(name in source.files for name in ("server.js", "index.js", "app.js"))
