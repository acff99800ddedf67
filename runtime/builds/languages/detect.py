"""Detect the language of a source from its files.

Pure: takes a listing and the text of small files, returns a value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from runtime.builds.languages.jar import executable, is_program_place
from runtime.builds.languages.javascript import config_files, framework
from runtime.builds.languages.javascript.dev_server import is_development_server
from runtime.builds.languages.javascript.scripts import build_script
from runtime.builds.languages.unsupported import refuse_documents, refuse_project
from runtime.builds.manifest.documents import parse_json
from runtime.contract.manifest import TOML, AppFile, Static
from runtime.errors import BadSource


class LanguageName(StrEnum):
    PYTHON = "Python"
    NODE = "Node.js"
    GO = "Go"
    PHP = "PHP"
    RUBY = "Ruby"
    JAVA = "Java"
    STATIC = "static site"
    PLAIN = "Procfile"
    DOCKERFILE = "Dockerfile"


DOCKERFILE = "dockerfile"
BUILDERS = {
    "procfile" if language is LanguageName.PLAIN else language.name.lower(): language
    for language in LanguageName
}  # the name in slipway.toml


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """An unpacked source: the relative path of every file, and the texts that determine how to
    build it.
    """

    files: frozenset[str]
    texts: Mapping[str, str]
    app_file: AppFile = field(default_factory=AppFile)
    config_vars: Mapping[str, str] = field(default_factory=dict)  # that build steps may see


@dataclass(frozen=True, slots=True, kw_only=True)
class Detected:
    language: LanguageName
    because: str  # the file that decided
    first: tuple[
        LanguageName, ...
    ] = ()  # other languages of the source, which are built before this one, in this order


JAVA_SOURCES = ("Main.java", "App.java", "Server.java")
JAVA_PROJECTS = (
    "pom.xml",
    *("build.gradle", "build.gradle.kts", "settings.gradle", "settings.gradle.kts", "gradlew"),
)
STATIC_FOLDERS = ("", "public/", "dist/", "build/", "site/", "_site/", "www/")
PYTHON_LOCKS = ("uv.lock", "poetry.lock", "Pipfile.lock")
PYTHON_FILES = (
    *PYTHON_LOCKS,
    "requirements.txt",
    "Pipfile",
    "pyproject.toml",
    "setup.py",
    "setup.cfg",
    "manage.py",
)
_PYTHON_VERSION = (".python-version", "runtime.txt")
_NODE_FILES = (
    "package.json",
    "package-lock.json",
    "npm-shrinkwrap.json",
    "pnpm-lock.yaml",
    "pnpm-workspace.yaml",
    "yarn.lock",
    ".yarnrc.yml",
)
_FILES_OF_OTHERS = (
    *(
        "go.mod",
        "composer.json",
        "composer.lock",
        "Gemfile",
        "Gemfile.lock",
        ".ruby-version",
        "system.properties",
        ".java-version",
    ),
    *(".node-version", ".nvmrc", "angular.json", ".eleventy.js"),
)
_LOOKED_FOR = (
    "Dockerfile, Procfile, package.json, requirements.txt, pyproject.toml, Pipfile, setup.py, the"
    " lock files of uv, Poetry and Pipenv, manage.py, go.mod, composer.json, index.php, Gemfile,"
    " config.ru, pom.xml, build.gradle, a .jar with a Main-Class, Main.java, index.html (also in"
    " public, dist, build, site)"
)
# Each of these at the top decides the language despite other files, unless Node.js starts the app.
_SURE = {
    "go.mod": LanguageName.GO,
    "composer.json": LanguageName.PHP,
    "Gemfile": LanguageName.RUBY,
    "config.ru": LanguageName.RUBY,
    "index.php": LanguageName.PHP,
    **dict.fromkeys(JAVA_PROJECTS, LanguageName.JAVA),
}
_PROGRAMS = {
    r"(?:ruby|bundle|puma|rackup|rails)": LanguageName.RUBY,
    r"(?:php|/opt/php/serve|(?:vendor/bin/)?heroku-php-\w+)": LanguageName.PHP,
    r"java": LanguageName.JAVA,
}
ALWAYS_READ = frozenset(
    ("Procfile", "slipway.toml", *PYTHON_FILES, *_PYTHON_VERSION, *_NODE_FILES, *_FILES_OF_OTHERS)
)
_TEXTS = re.compile(
    r"[^/]+\.py|(?:app|src)/(?:app|main)\.py|(?:[^/]+/){0,2}[^/]+\.(?:txt|in)|"
    r"pom\.xml|(?:[^/]+/){0,2}build\.gradle(?:\.kts)?|"
    r"(?:gradle|\.mvn)/wrapper/(?:gradle|maven)-wrapper\.properties|"
    r"(?:(?!node_modules/)[^/]+/){0,4}package\.json|(?:cmd/[^/]+/)?[^/]+\.go|"
    rf"[^/]+\.config\.(?:{'|'.join(config_files.ENDINGS)})|" + "|".join(map(re.escape, ALWAYS_READ))
)
_RUNS_PYTHON = re.compile(
    r"\b(?:python3?|gunicorn|uvicorn|hypercorn|granian|daphne|waitress-serve|uwsgi|flask|fastapi"
    r"|streamlit|panel serve|celery|django-admin|(?:pipenv|poetry|uv) run)\b"
)
_RUNS_NODE = re.compile(r"(?<![\w/.-])(?:node|npm|npx|pnpm|yarn)\b")


def wants_text(path: str) -> bool:
    """Return whether a file may determine how to build its source."""
    return _TEXTS.fullmatch(path) is not None or is_program_place(path)


def detect(source: Source) -> Detected:
    """Return the language of a source.

    BadSource: no language was recognised; it lists the files that were looked for.
    """
    builder = source.app_file.building.builder
    if "Dockerfile" in source.files and not builder:
        return Detected(language=LanguageName.DOCKERFILE, because="Dockerfile")
    main = _by_setting(source, builder) if builder else _main(source)
    return Detected(
        language=main.language, because=main.because, first=tuple(_first(source, main.language))
    )


def _main(source: Source) -> Detected:
    """Return the language of the process that finally runs.

    It is that of the Procfile's web process, or of the file that determines how to start.
    """
    python = next((name for name in PYTHON_FILES if name in source.files), "")
    starts = "Procfile" in source.files or bool(source.app_file.commands)
    if not starts and source.app_file.static != Static():
        return Detected(language=LanguageName.STATIC, because=TOML)
    sure = next((name for name in _SURE if name in source.files), "")
    if "package.json" in source.files and not ((sure or python) and _prefers_other(source)):
        _refuse_other_project(source)
        return _of_package(source)
    if sure:
        return Detected(language=_SURE[sure], because=_built_jar(source, sure) or sure)
    if python or (python := next((name for name in _PYTHON_VERSION if name in source.files), "")):
        return Detected(language=LanguageName.PYTHON, because=python)
    if starts:
        return _of_procfile(source)
    if found := _of_program(source):
        return found
    refuse_documents(source.files)
    top = sorted({path.partition("/")[0] for path in source.files})
    shown = ", ".join(top[:8]) + (", …" if len(top) > 8 else "")
    raise BadSource(
        f"Found nothing to build: looked for {_LOOKED_FOR}. The top of the source contains:"
        f" {shown}.",
        hint=(
            "Add a Procfile with a line such as `web: ./start`, or one of these files, at the top."
        ),
    )


def _built_jar(source: Source, file: str) -> str:
    """Return the jar of a Java project that was built before, or ""."""
    found = executable(source.files, source.texts) if file in JAVA_PROJECTS else []
    return min(found, default="")


def _first(source: Source, main: LanguageName) -> Iterator[LanguageName]:
    """Yield the languages to build first.

    Node.js is first where it builds files for another language, or runs as another process.
    Python is first where only another process needs it.
    """
    commands = _commands(source)
    has_python = any(name in source.files for name in PYTHON_FILES)
    if main is LanguageName.NODE and has_python and _RUNS_PYTHON.search(commands):
        yield LanguageName.PYTHON
    if (
        main
        not in (
            LanguageName.NODE,
            LanguageName.GO,
            LanguageName.PLAIN,
            LanguageName.DOCKERFILE,
        )
        and "package.json" in source.files
    ):
        scripts = _scripts(source)
        if build_script(scripts) or (
            main is not LanguageName.STATIC and _RUNS_NODE.search(commands)
        ):
            yield LanguageName.NODE


def _prefers_other(source: Source) -> bool:
    """Return whether the other language serves, in a source with a package.json and files of that
    language.

    It does if the Procfile says so, or if Node.js has nothing to start.
    """
    lines = _commands(source).splitlines()
    web = next((line for line in lines if line.lstrip().startswith("web:")), "\n".join(lines))
    if _RUNS_PYTHON.search(web) or _program(web) or _RUNS_NODE.search(web):
        return bool(_RUNS_PYTHON.search(web) or _program(web))
    return not _starts(source)


def _of_package(source: Source) -> Detected:
    """Return a Node.js app, or a static site: one that a build script makes, or one whose
    package.json only has tools.
    """
    if "Procfile" not in source.files and not source.app_file.commands and not _starts(source):
        if build_script(_scripts(source)):
            framework.refuse_adapters(source.texts, _package(source))
            return Detected(language=LanguageName.STATIC, because="package.json")
        if page := _page(source):
            return Detected(language=LanguageName.STATIC, because=page)
    return Detected(language=LanguageName.NODE, because="package.json")


def _refuse_other_project(source: Source) -> None:
    """Refuse a project of a language without a builder, whose package.json is only for its assets.

    BadSource names the language.
    """
    commands = _commands(source)
    if _starts(source) or (build_script(_scripts(source)) and not commands.strip()):
        return
    known = _RUNS_NODE.search(commands) or _RUNS_PYTHON.search(commands) or _program(commands)
    if not known and not _starts_own_file(source, commands):
        refuse_project(source.files)


def _of_procfile(source: Source) -> Detected:
    """Return the language of a source that only has a Procfile or slipway.toml's commands.

    It is Python if it has a Python file and a command that runs Python.
    """
    commands = _commands(source)
    because = "Procfile" if "Procfile" in source.files else source.app_file.file
    if _RUNS_PYTHON.search(commands) and any(path.endswith(".py") for path in source.files):
        return Detected(language=LanguageName.PYTHON, because=because)
    if _RUNS_NODE.search(commands):
        return Detected(language=LanguageName.NODE, because=because)
    language = _program(commands) or LanguageName.PLAIN
    if language is LanguageName.PLAIN and not _starts_own_file(source, commands):
        refuse_project(source.files)
    return Detected(language=language, because=because)


def _starts_own_file(source: Source, commands: str) -> bool:
    """Return whether a command starts a file of the source, such as `web: ./server --fast`."""
    start = re.compile(r"^\s*[\w-]+:\s*(?:\w+=\S+\s+)*(?:exec\s+)?(\S+)", re.MULTILINE)
    programs = start.findall(commands)
    return any(
        program.removeprefix("/app/").removeprefix("./") in source.files
        or f"bin/{program}" in source.files
        for program in programs
    )


def _by_setting(source: Source, builder: str) -> Detected:
    """Return the language of the builder that slipway.toml names."""
    language = BUILDERS[builder]
    if language is not LanguageName.STATIC or build_script(_scripts(source)):
        return Detected(language=language, because=f"builder in {TOML}")
    if page := _page(source):
        return Detected(language=language, because=page)
    where = ", ".join(folder or "the top" for folder in _static_folders(source))
    raise BadSource(
        f"{TOML} configures a static site, but there is no index.html in {where}.",
        hint="Set static.folder to its folder.",
    )


def _commands(source: Source) -> str:
    """Return the commands as lines of a Procfile: those of the manifest, which have precedence, and
    the Procfile's own.
    """
    said = (f"{name}: {command}" for name, command in source.app_file.commands.items())
    return "\n".join((*said, source.texts.get("Procfile", "")))


def _static_folders(source: Source) -> tuple[str, ...]:
    folder = source.app_file.static.folder
    return (f"{folder}/",) if folder else STATIC_FOLDERS


def _of_program(source: Source) -> Detected | None:
    """Return the language of the files that can be served or started, if there is no other
    evidence.
    """
    if "public/index.php" in source.files:
        return Detected(language=LanguageName.PHP, because="public/index.php")
    if name := _java(source):
        return Detected(language=LanguageName.JAVA, because=name)
    program = next((name for name in ("app.py", "main.py") if name in source.files), "")
    if not program:
        refuse_project(source.files)
    if page := _page(source):
        return Detected(language=LanguageName.STATIC, because=page)
    if name := program:
        return Detected(language=LanguageName.PYTHON, because=name)
    return None


def _program(commands: str) -> LanguageName | None:
    """Return the language of a program that lines of a Procfile start."""
    for program, language in _PROGRAMS.items():
        if re.search(
            rf"^\s*[\w-]+:\s*(?:\w+=\S+\s+)*(?:exec\s+)?{program}\b", commands, re.MULTILINE
        ):
            return language
    return None


def _java(source: Source) -> str:
    """Return the file that makes it Java, or "".

    BadSource: a jar has nothing to start.
    """
    names = (*executable(source.files, source.texts), *JAVA_SOURCES)
    if name := next((name for name in names if name in source.files), ""):
        return name
    if jar := next((path for path in sorted(source.files) if is_program_place(path)), ""):
        raise BadSource(
            f"{jar} has no Main-Class: there is nothing to start.",
            hint="Pack an executable jar (java -jar), and deploy it in target or at the top.",
        )
    return ""


def _page(source: Source) -> str:
    return next(
        (
            f"{folder}index.html"
            for folder in _static_folders(source)
            if f"{folder}index.html" in source.files
        ),
        "",
    )


def _starts(source: Source) -> bool:
    """Return whether package.json, or the name of a file, determines how to start a server in
    Node.js.
    """
    scripts, package = _scripts(source), _package(source)
    if build_script(scripts) and framework.server(source.texts, package):
        return True
    if start := str(scripts.get("start", "")):
        return not is_development_server(start)
    named = any(name in source.files for name in ("server.js", "index.js", "app.js"))
    return named or bool(package.get("main"))


def _scripts(source: Source) -> Mapping[str, object]:
    scripts = _package(source).get("scripts")
    return scripts if isinstance(scripts, dict) else {}


def _package(source: Source) -> Mapping[str, object]:
    """Return package.json, or {} if it cannot be read: its builder reports the fault."""
    try:
        document = parse_json(source.texts.get("package.json", ""))
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
