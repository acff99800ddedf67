"""Compare uv.lock with the pyproject.toml next to it. Pure.

`uv sync --frozen` installs what the lock says, so a stale lock would give an app without its new
dependencies.
"""

from __future__ import annotations

from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from runtime.builds.languages.detect import Source
from runtime.builds.languages.python_files import pyproject, toml
from runtime.errors import BadSource

_UPDATE = "Run `uv lock`, and commit uv.lock."


def check(source: Source) -> None:
    """Raise BadSource if the lock lacks a dependency of the project."""
    project = _project(source)
    if project is None:
        return
    missing = sorted(_wanted(source).keys() - _locked(project).keys())
    if missing:
        raise BadSource(
            f"uv.lock does not match pyproject.toml: it does not have {', '.join(missing)}.",
            hint=_UPDATE,
        )


def notes(source: Source) -> tuple[str, ...]:
    """Return a warning if the lock was made for other versions than the project requires."""
    project = _project(source)
    if project is None:
        return ()
    locked = _locked(project)
    other = sorted(
        name
        for name, specifier in _wanted(source).items()
        if name in locked and locked[name] is not None and locked[name] != specifier
    )
    if not other:
        return ()
    names = ", ".join(other)
    what = f"uv.lock was made for other versions of {names} than pyproject.toml requires"
    return (f"Warning: {what}, and is used. {_UPDATE}",)


def _project(source: Source) -> dict[str, Any] | None:
    """Return the lock's entry of the project in the top folder; None if there is none."""
    packages = toml(source, "uv.lock").get("package", ())
    for package in packages if isinstance(packages, list) else ():
        place = package.get("source", {}) if isinstance(package, dict) else {}
        if isinstance(place, dict) and "." in (place.get("virtual"), place.get("editable")):
            return dict(package)
    return None


def _wanted(source: Source) -> dict[str, SpecifierSet]:
    """Return the dependencies in pyproject.toml: name -> versions. An entry that is not valid is
    left to uv.
    """
    project = pyproject(source).get("project", {})
    lines = project.get("dependencies", ())
    found: dict[str, SpecifierSet] = {}
    for line in lines if isinstance(lines, list) else ():
        try:
            requirement = Requirement(str(line))
        except InvalidRequirement:
            continue
        found[canonicalize_name(requirement.name)] = requirement.specifier
    return found


def _locked(project: dict[str, Any]) -> dict[str, SpecifierSet | None]:
    """Return the dependencies that the lock was made for. None: the versions are not known, or
    there are several.
    """
    found: dict[str, SpecifierSet | None] = {}
    metadata = project.get("metadata", {})
    entries = metadata.get("requires-dist", ()) if isinstance(metadata, dict) else ()
    for entry in (*entries, *project.get("dependencies", ())):
        if not isinstance(entry, dict) or "name" not in entry:
            continue
        name = canonicalize_name(str(entry["name"]))
        if name in found:
            found[name] = found[name] if "specifier" not in entry else None
            continue
        found[name] = _specifier(entry.get("specifier"))
        if any(key in entry for key in ("git", "url", "path", "editable", "directory", "marker")):
            found[name] = None
    if not entries:
        return dict.fromkeys(found)
    return found


def _specifier(text: object) -> SpecifierSet | None:
    try:
        return SpecifierSet(str(text or ""))
    except InvalidSpecifier:
        return None
