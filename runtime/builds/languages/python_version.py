"""Choose the Python that a source requires, of those available. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from runtime.builds.languages import pipenv, poetry
from runtime.builds.languages.detect import Source
from runtime.builds.languages.language import Inputs
from runtime.builds.languages.python_files import (
    poetry_table,
    pyproject,
    toml,
)
from runtime.errors import BadSource
from runtime.stacks.definition import PYTHON_DEFAULT
from runtime.stacks.stack import DebianRuntime

_LONGEST_WISH = 200  # characters
_EXACT = re.compile(
    r"(\d+\.\d+)(?:\.(?:\d+|x|\*))?(?:(?:a|b|rc|-rc)\.?\d+)?(?:-?(?:dev|latest))?(?=[\s/,]|$)"
)


def runtime_of(inputs: Inputs) -> tuple[DebianRuntime, str]:
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


def _wish(source: Source, offered: Mapping[str, DebianRuntime]) -> tuple[str, str]:
    """Return (major.minor, the place that specifies it)."""
    for file in (".python-version", "runtime.txt"):
        if line := _first_line(source.texts.get(file, "")):
            return _written(line[:_LONGEST_WISH], file, offered), file
    if "Pipfile" in source.files and (found := pipenv.required_python(toml(source, "Pipfile"))):
        return ".".join(found[:_LONGEST_WISH].split(".")[:2]), "[requires] in the Pipfile"
    ranges, required, where = _ranges(source)
    if version := _newest(ranges, offered):
        return version, where if required else "the default"
    return required, f"{where} in pyproject.toml"


def _first_line(text: str) -> str:
    """Return the first line that is not a comment, without the comment at its end."""
    lines = (line.partition("#")[0].strip() for line in text.lstrip("\ufeff").splitlines())
    return next((line for line in lines if line), "")


def _written(line: str, file: str, offered: Mapping[str, DebianRuntime]) -> str:
    """Return the version (major.minor) that a line of .python-version or runtime.txt requires.

    Accept the forms that pyenv, uv, asdf and buildpacks write: "3.13", "python-3.13.1",
    "cpython@3.13", "3.13-dev", "3.13.*", "3", ">=3.11,<3.14", "^3.11". Of several versions in a
    line, the first counts.
    """
    wish = re.sub(r"^(?:c?python)?[-@= ]*v?(?=[\d<>=~^!])", "", line.lower())
    if wish in ("3", "3.x", "3.*", "latest", "system", "python", "python3"):
        return _newest((SpecifierSet(),), offered)
    exact = _EXACT.match(wish)
    if exact:
        return exact[1]
    if re.match(r"[<>=~^!]", wish):
        try:
            ranges = poetry.python_ranges(wish) if wish[0] == "^" else (SpecifierSet(wish),)
        except InvalidSpecifier:
            ranges = ()
        if ranges:
            return _newest(ranges, offered) or wish
    raise BadSource(
        f"{file} reads {line!r}, which is not a version of CPython.",
        hint=f"Write {PYTHON_DEFAULT} or python-{PYTHON_DEFAULT} there.",
    )


def _newest(ranges: tuple[SpecifierSet, ...], offered: Mapping[str, DebianRuntime]) -> str:
    """Return the default version if a range has it, else the newest that has; "" if none does."""
    for version in sorted(
        offered, key=lambda version: (version == PYTHON_DEFAULT, _parts(version)), reverse=True
    ):
        if any(
            specifiers.contains(f"{version}.{patch}") for specifiers in ranges for patch in (0, 99)
        ):
            return version
    return ""


def _ranges(source: Source) -> tuple[tuple[SpecifierSet, ...], str, str]:
    """Return (ranges one of which must match, the original text, the name of its place)."""
    document = pyproject(source)
    required, where = str(document.get("project", {}).get("requires-python", "")), "requires-python"
    poetrys = (
        "" if required else str(poetry_table(document).get("dependencies", {}).get("python", ""))
    )
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


def _parts(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))
