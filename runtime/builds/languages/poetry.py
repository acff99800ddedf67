"""Plan a Poetry project: poetry exports poetry.lock as pinned lines with hashes and markers, and uv
installs those.

`poetry install` is not used: it supports no mirror, and it takes ten times as long.
The lock is followed exactly: versions, hashes of every archive, markers, path and git
dependencies.
Only the main group is installed. Pure.
"""

from __future__ import annotations

import re
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from runtime.builds.languages.python_files import locked_packages
from runtime.builds.steps import TEXTS, Install, Tool
from runtime.errors import BadSource
from runtime.stacks.definition import GIT

_POETRY, _EXPORT, _CORE = "2.5.1", "1.10.1", "2.5.0"
_KEEP = ("opt/venv",)
# A line that ends in a backslash continues its entry. Only git and path dependencies have no hash.
_SPLIT = (
    r"sed -e ':a' -e '/\\$/N; s/\\\n//; ta' /tmp/locked.txt > /tmp/entries.txt"
    r" && { grep -e '--hash=' -e '^--' /tmp/entries.txt > /tmp/hashed.txt || true; }"
    r" && { grep -v -e '--hash=' /tmp/entries.txt > /tmp/unhashed.txt || true; }"
)
# Without a lock: the project's main dependencies as lines that every installer reads.
# Poetry's own library writes them.
_LINES = """from pathlib import Path
from poetry.core.factory import Factory
for dependency in Factory().create_poetry(Path(".")).package.requires:
    print(dependency.to_pep_508())
"""
_BOUND = re.compile(r"(\^|~=?|==|!=|>=|<=|>|<|=)?\s*v?(\d+(?:\.\d+)*(?:\.\*)?|\*)")


def of_lock(document: dict[str, Any], python: str, venv: str, place: str) -> Install:
    """Return the step for a lock.

    `document` is the parsed poetry.lock; `venv` is the command that makes `place`, with `python`.
    """
    kinds = {
        str(package.get("source", {}).get("type", "")) for package in locked_packages(document)
    }
    tool = (
        f"uv tool run --quiet --python {python} --from poetry=={_POETRY} --with"
        f" poetry-plugin-export=={_EXPORT} poetry"
    )
    export = (
        f"{tool} export --no-interaction --only main --format requirements.txt --output"
        " /tmp/locked.txt"
    )
    pip = f"uv pip install --python {place} --no-deps"
    hashed = f"if [ -s /tmp/hashed.txt ]; then {pip} --require-hashes -r /tmp/hashed.txt; fi"
    unhashed = f"if [ -s /tmp/unhashed.txt ]; then {pip} -r /tmp/unhashed.txt; fi"
    return Install(
        name="Dependencies",
        tool=Tool.UV,
        files=("poetry.lock", "pyproject.toml"),
        whole=bool(kinds & {"directory", "file"}),
        command=f"{venv} && {export} && {_SPLIT} && {hashed} && {unhashed}",
        says="poetry export, uv pip install --require-hashes",
        keep=_KEEP,
        build_runtimes=(GIT,) if "git" in kinds else (),
    )


def without_lock(text: str, python: str, venv: str, place: str) -> Install:
    """Return the step without a lock.

    `text` is the content of pyproject.toml; uv resolves its main dependencies.
    """
    lines = (
        f"uv run --quiet --no-project --python {python} --with poetry-core=={_CORE} python"
        f" {TEXTS}/lines.py > /tmp/wanted.txt"
    )
    return Install(
        name="Dependencies",
        tool=Tool.UV,
        files=("pyproject.toml",),
        whole=re.search(r"\bpath\s*=", text) is not None,
        command=f"{venv} && {lines} && uv pip install --python {place} -r /tmp/wanted.txt",
        says="uv pip install, from pyproject.toml",
        keep=_KEEP,
        texts=(("lines.py", _LINES),),
        build_runtimes=(GIT,) if re.search(r"\bgit\s*=", text) else (),
    )


def python_ranges(constraint: str) -> tuple[SpecifierSet, ...]:
    """Return Poetry's constraint on Python's version (`^3.11`, `~3.12 || >=3.14`) as ranges, one of
    which must match.
    """
    try:
        return tuple(
            SpecifierSet(",".join(_bounds(part))) for part in re.split(r"\s*\|\|?\s*", constraint)
        )
    except InvalidSpecifier:
        raise BadSource(
            f"tool.poetry.dependencies.python in pyproject.toml reads {constraint!r}, which is not"
            " a valid range of versions.",
            hint='Write "^3.13".',
        ) from None


def _bounds(part: str) -> list[str]:
    bounds = []
    rest = part.strip()
    while rest:
        match = _BOUND.match(rest)
        if match is None:
            raise InvalidSpecifier(part)
        bounds += _bound(match[1] or "", match[2])
        rest = rest[match.end() :].lstrip(" ,")
    return bounds


def _bound(sign: str, version: str) -> list[str]:
    if version == "*":
        return []
    numbers = [int(number) for number in version.removesuffix(".*").split(".")]
    if sign == "^":
        first = next((place for place, number in enumerate(numbers) if number), len(numbers) - 1)
        return [f">={version}", f"<{'.'.join(map(str, [*numbers[:first], numbers[first] + 1]))}"]
    if sign == "~":
        kept = numbers[:2]
        return [f">={version}", f"<{'.'.join(map(str, [*kept[:-1], kept[-1] + 1]))}"]
    if sign in ("", "=", "=="):
        return [f"=={version}"]
    return [f"{sign}{version}"]
