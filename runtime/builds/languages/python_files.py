"""Read the files that describe a Python project: pyproject.toml, requirements and locks. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from typing import Any

from runtime.builds.languages.detect import PYTHON_FILES, PYTHON_LOCKS, Source
from runtime.builds.manifest.documents import parse_toml
from runtime.errors import BadSource

_INCLUDE = re.compile(r"(?:-r|-c|--requirement|--constraint)[ =]*(\S+)")


_LOCAL = re.compile(
    r"(?:-e|--editable)\b|\.{0,2}/|file:|\.(?:\s|\[|$)|\S+\s*@\s*(?:file:|\.{0,2}/)|\S+\.(?:whl|tar\.gz|zip)(?:\s|$)|(?:-f|--find-links)["
    r" =]\."
)

# Packages that decide the web process or a step.
_NAMES = (
    *("gunicorn", "uvicorn", "hypercorn", "granian", "daphne", "waitress", "uwsgi"),
    *("flask", "django", "channels", "quart"),
)
# The extras of FastAPI, also in a table of Poetry or Pipenv. Two of them bring uvicorn. A match has
# a limited length, so the time is linear in the file.
_FASTAPI_EXTRAS = re.compile(
    r"\bfastapi\b[\"']?[ \t]*(?:=[ \t]*\{[^}\n]{0,200}\bextras[ \t]*=[ \t]*)?"
    r"\[([^\]\n]{0,200})",
    re.IGNORECASE,
)
_WITH_SERVER = re.compile(r"\b(?:standard|all)\b", re.IGNORECASE)


def decides(source: Source) -> str:
    """Return the file that determines the packages.

    A lock has precedence over its input. "" if there is no such file.
    """
    document = pyproject(source)
    for file in PYTHON_LOCKS:
        if file in source.files and (file == "Pipfile.lock" or "pyproject.toml" in source.files):
            return file
    for file in ("requirements.txt", "Pipfile"):
        if file in source.files:
            return file
    if {"dependencies", "dynamic"} & document.get("project", {}).keys() or is_poetry_project(
        source
    ):
        return "pyproject.toml"
    if "setup.py" in source.files:
        return "setup.py"
    return "setup.cfg" if "[metadata]" in source.texts.get("setup.cfg", "") else ""


def requirements(source: Source) -> tuple[set[str], bool]:
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


def mentioned_packages(source: Source) -> set[str]:
    """Return names of dependencies, approximately: sufficient to choose a server."""
    texts = [
        source.texts[file]
        for file in PYTHON_FILES
        if file in source.texts and not file.startswith("requirements")
    ]
    texts += [source.texts[file] for file in source.texts if file.startswith("requirements")]
    found = {
        name
        for name in _NAMES
        if any(re.search(rf"(?<![\w-]){name}\b", text, re.IGNORECASE) for text in texts)
    }
    extras = (match[1] for text in texts for match in _FASTAPI_EXTRAS.finditer(text))
    if any(_WITH_SERVER.search(names) for names in extras):
        found.add("uvicorn")
    return found | ({"hypercorn"} if "quart" in found else set())


def is_poetry_project(source: Source) -> bool:
    """Return whether pyproject.toml names its dependencies in Poetry's own format."""
    document = pyproject(source)
    return (
        bool(poetry_table(document))
        and "dependencies" not in document.get("project", {})
        and "dependencies" in poetry_table(document)
    )


def poetry_table(document: Mapping[str, Any]) -> Mapping[str, Any]:
    table = document.get("tool", {}).get("poetry", {})
    return table if isinstance(table, dict) else {}


def pyproject(source: Source) -> dict[str, Any]:
    document = toml(source, "pyproject.toml") if "pyproject.toml" in source.files else {}
    for name in ("project", "tool"):
        if not isinstance(document.get(name, {}), dict):
            raise BadSource(
                f"{name} in pyproject.toml is not a table.", hint=f"Write it as [{name}]."
            )
    return document


def locked_packages(lock: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the entries of a uv.lock or poetry.lock that are tables, each with a table `source`
    if it has one.
    """
    packages = lock.get("package", ())
    return [
        package
        for package in (packages if isinstance(packages, list) else ())
        if isinstance(package, dict) and isinstance(package.get("source", {}), dict)
    ]


def toml(source: Source, file: str) -> dict[str, Any]:
    try:
        return parse_toml(source.texts.get(file, ""))
    except ValueError as error:
        raise BadSource(
            f"{file} is not valid TOML: {error}.", hint="Correct it and deploy again."
        ) from None
