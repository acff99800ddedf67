"""Convert Pipfile.lock, or the Pipfile alone, to the requirement lines that uv installs. Pure.

Every locked version is installed with its hashes checked and its markers applied; `develop` is
not installed.
https://pipenv.pypa.io/en/latest/pipfile.html describes how pipenv reads these files.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from collections.abc import Mapping
from typing import Any

from runtime.builds.manifest.documents import parse_json
from runtime.builds.steps import TEXTS, Install, Tool
from runtime.errors import BadSource
from runtime.stacks.definition import GIT

_KEEP = ("opt/venv",)
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_MARKERS = (
    "os_name",
    "sys_platform",
    "platform_machine",
    "platform_python_implementation",
    "platform_system",
    "python_version",
    "python_full_version",
    "implementation_name",
)
_INDEX = "pypi"  # pipenv's name of the public index; the host's settings decide its address


def of_lock(text: str, venv: str, place: str) -> Install:
    """Return the step for a lock. `text` is the content of Pipfile.lock."""
    lock = _json(text)
    packages = lock.get("default", {})
    if not isinstance(packages, dict) or not all(
        isinstance(entry, dict) for entry in packages.values()
    ):
        raise BadSource(
            "Pipfile.lock has no table of packages named default.",
            hint="Create it again: pipenv lock",
        )
    lines = [_line(name, entry) for name, entry in packages.items()]
    hashed = [line for line in lines if "--hash=" in line]
    unhashed = [line for line in lines if "--hash=" not in line]
    pip = f"uv pip install --python {place} --no-deps"
    commands = [venv]
    texts = []
    sources = _sources(lock.get("_meta", {}).get("sources", ()))
    for name, some, strict in (
        ("hashed.txt", hashed, " --require-hashes"),
        ("unhashed.txt", unhashed, ""),
    ):
        if some:
            commands.append(f"{pip}{strict} -r {TEXTS}/{name}")
            texts.append((name, "\n".join([*sources, *some]) + "\n"))
    return _install(
        commands,
        ("Pipfile.lock",),
        texts,
        packages.values(),
        says="uv pip install --require-hashes, from Pipfile.lock",
    )


def without_lock(document: Mapping[str, Any], venv: str, place: str) -> Install:
    """Return the step without a lock.

    `document` is the parsed Pipfile; uv resolves its packages.
    """
    packages = document.get("packages", {})
    if not isinstance(packages, dict):
        raise BadSource(
            "[packages] in the Pipfile is not a table.",
            hint="pipenv install NAME writes a valid one.",
        )
    entries = {
        name: entry if isinstance(entry, dict) else {"version": str(entry)}
        for name, entry in packages.items()
    }
    lines = [
        *_sources(document.get("source", ())),
        *(_line(name, entry) for name, entry in entries.items()),
    ]
    texts = [("wanted.txt", "\n".join(lines) + "\n")]
    commands = [venv, f"uv pip install --python {place} -r {TEXTS}/wanted.txt"]
    return _install(
        commands, ("Pipfile",), texts, entries.values(), says="uv pip install, from the Pipfile"
    )


def required_python(document: Mapping[str, Any]) -> str:
    """Return the version that [requires] names, or ""."""
    requires = document.get("requires", {})
    return (
        str(requires.get("python_full_version") or requires.get("python_version") or "")
        if isinstance(requires, dict)
        else ""
    )


def is_stale(document: Mapping[str, Any], text: str) -> bool:
    """Return whether Pipfile.lock was made from another Pipfile.

    The lock holds the hash of its Pipfile.
    """
    stated = _json(text).get("_meta", {}).get("hash", {}).get("sha256", "")
    known = {"source", "requires", "packages", "dev-packages", "pipenv", "scripts"}
    content = {
        "_meta": {"sources": document.get("source", []), "requires": document.get("requires", {})},
        "default": document.get("packages", {}),
        "develop": document.get("dev-packages", {}),
        **{name: table for name, table in document.items() if name not in known},
    }
    made = hashlib.sha256(
        json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    ).hexdigest()
    return bool(stated) and "source" in document and stated != made


def _install(
    commands: list[str],
    files: tuple[str, ...],
    texts: list[tuple[str, str]],
    entries: Any,
    *,
    says: str,
) -> Install:
    local = any(
        isinstance(entry.get(kind), str) and "://" not in entry[kind]
        for entry in entries
        for kind in ("path", "file")
    )
    return Install(
        name="Dependencies",
        tool=Tool.UV,
        files=files,
        whole=local,
        command=" && ".join(commands),
        says=says,
        keep=_KEEP,
        texts=tuple(texts),
        build_runtimes=(GIT,) if any("git" in entry for entry in entries) else (),
    )


def _line(name: str, entry: Mapping[str, Any]) -> str:
    """Return one package as a requirement line of pip.

    BadSource: its name or its source is not valid.
    """
    if not _NAME.fullmatch(name):
        raise BadSource(
            f"The Pipfile or its lock names {name!r}, which is not a valid package name.",
            hint="Correct the name.",
        )
    extras = f"[{','.join(map(str, entry['extras']))}]" if entry.get("extras") else ""
    conditions = [f"({entry['markers']})"] if entry.get("markers") else []
    conditions += [f"({marker} {entry[marker]})" for marker in _MARKERS if entry.get(marker)]
    marker = f" ; {' and '.join(conditions)}" if conditions else ""
    listed = entry.get("hashes", ())
    hashes = "".join(f" --hash={digest}" for digest in listed) if isinstance(listed, list) else ""
    version = str(entry.get("version", "")).strip()
    place = _place(entry)
    if place and entry.get("editable"):
        line = f"-e {place}{extras}"
    elif place:
        line = (
            f"{name}{extras} @"
            f" {place}{marker}{'' if place.startswith(('git+', 'file:')) else hashes}"
        )
    else:
        line = f"{name}{extras}{'' if version == '*' else version}{marker}{hashes}"
    if "\n" in line or "\r" in line:
        raise BadSource(
            f"The entry of {name} in the Pipfile or its lock contains a line break.",
            hint="Create it again: pipenv lock",
        )
    return line


def _place(entry: Mapping[str, Any]) -> str:
    """Return the place of a package that is not in an index: a repository, an address, or a path in
    the source.
    """
    if git := entry.get("git"):
        part = f"#subdirectory={entry['subdirectory']}" if entry.get("subdirectory") else ""
        reference = f"@{entry['ref']}" if entry.get("ref") else ""
        return f"git+{str(git).removeprefix('git+')}{reference}{part}"
    found = str(entry.get("path") or entry.get("file") or "")
    return (
        found
        if not found or "://" in found
        else f"file://{posixpath.normpath(posixpath.join('/app', found))}"
    )


def _sources(sources: Any) -> list[str]:
    """Return the options for further indexes. The hashes decide which packages are accepted."""
    tables = [source for source in sources if isinstance(source, dict)]
    return [
        f"--extra-index-url {source['url']}"
        for source in tables
        if source.get("name") != _INDEX and source.get("url")
    ]


def _json(text: str) -> dict[str, Any]:
    try:
        document = parse_json(text)
    except ValueError as error:
        raise BadSource(
            f"Pipfile.lock is not valid JSON: {error}.", hint="Create it again: pipenv lock"
        ) from None
    if not isinstance(document, dict) or not isinstance(document.get("_meta", {}), dict):
        raise BadSource("Pipfile.lock is not an object.", hint="Create it again: pipenv lock")
    return document
