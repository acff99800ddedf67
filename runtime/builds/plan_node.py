"""Building Node.js: which version, which install steps, which default web process. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import nodesemver

from runtime.builds.detect import Source
from runtime.builds.steps import Install, Tool
from runtime.errors import BadSource
from runtime.stacks.definition import NODE_DEFAULT, NODE_MAJORS, NODE_NEWEST, node
from runtime.stacks.stack import NodeRuntime

LONGEST_WISH = 100  # characters; the time nodesemver takes grows with their square, and with it all other builds wait
_LOCKS = ("npm-shrinkwrap.json", "package-lock.json")
_HOOKS = ("preinstall", "install", "postinstall", "prepare")  # scripts npm runs while installing, which may read any file
_FLAGS = "--no-audit --no-fund --no-update-notifier --no-progress"


def runtime(source: Source, versions: Callable[[], list[str]]) -> tuple[NodeRuntime, str]:
    """The Node.js asked for, with the words for the log; `versions` lists all there are, asked only if ours do not do."""
    wish, where = _wish(source)
    if len(wish) > LONGEST_WISH:
        raise BadSource(f"{where} is longer than any range of versions.", hint='Write for example "22.x".')
    if not wish:
        return node(NODE_DEFAULT), f"Node.js {NODE_DEFAULT}, the default"
    try:
        found = _choose(wish, (NODE_DEFAULT,)) or _choose(wish, NODE_NEWEST) or _choose(wish, tuple(_offered(versions())))
    except ValueError:
        raise BadSource(f"{where} reads {wish!r}, which is no range of versions.", hint='Write for example "22.x".') from None
    if found is None:
        majors = ", ".join(f"{major}.x" for major in NODE_MAJORS)
        raise BadSource(
            f"{where} asks for Node.js {wish}, which is not offered here. Offered: {majors}.", hint="Ask for one of these there."
        )
    return node(found), f"Node.js {found}, {where} asks for {wish}"


def installs(source: Source) -> tuple[Install, ...]:
    """`npm ci` by the lock file, or `npm install`; then the `build` script, if there is one."""
    package = _package(source)
    if not any(package.get(kind) for kind in ("dependencies", "devDependencies", "optionalDependencies", "workspaces")) and not _script(
        package
    ):
        return ()
    lock = next((name for name in _LOCKS if name in source.files), "")
    local = '"file:' in source.texts.get("package.json", "") or "workspaces" in package
    whole = local or any(name in package.get("scripts", {}) for name in _HOOKS)
    builds = _script(package)
    files = tuple(name for name in ("package.json", lock, ".npmrc") if name in source.files)
    command = f"npm {'ci' if lock else 'install'} {'--include=dev' if builds else '--omit=dev'} {_FLAGS}"
    first = Install(name="Dependencies", tool=Tool.NPM, files=files, whole=whole, command=command, keep=("app/node_modules",))
    if not builds:
        return (first,)
    return (first, Install(name="Build script", tool=Tool.NPM, files=(), whole=True, command="npm run build", keep=("app",)))


def web(source: Source) -> tuple[str, str] | None:
    """A web command by convention, and why; None where nothing tells."""
    package = _package(source)
    if "start" in package.get("scripts", {}):
        return "npm start", "package.json has a start script"
    for file in (str(package.get("main", "")).removeprefix("./"), "server.js", "index.js", "app.js"):
        if file in source.files:
            return f"node {file}", f"there is a {file}"
    return None


def notes(source: Source) -> tuple[str, ...]:
    if "package.json" not in source.files or any(name in source.files for name in _LOCKS):
        return ()
    foreign = next((name for name in ("yarn.lock", "pnpm-lock.yaml", "bun.lockb") if name in source.files), "")
    if foreign:
        return (f"Warning: {foreign} is not read yet; npm chooses versions itself. Commit a package-lock.json (npm install).",)
    return ("Warning: without a package-lock.json, versions are whatever is newest when they are installed first.",)


def _wish(source: Source) -> tuple[str, str]:
    """(a semver range or "", where it says so)."""
    if wish := str((_package(source).get("engines") or {}).get("node", "")).strip():
        return wish, "engines.node in package.json"
    for file in (".node-version", ".nvmrc"):
        if line := source.texts.get(file, "").strip():
            return re.sub(r"^v(?=\d)", "", "*" if line in ("node", "latest", "lts/*", "stable") else line), file
    return "", ""


def _choose(wish: str, versions: tuple[str, ...]) -> str | None:
    found = nodesemver.max_satisfying(list(versions), wish, loose=False)
    return None if found is None else str(found)


def _offered(versions: list[str]) -> list[str]:
    return [version for version in versions if re.fullmatch(r"\d+\.\d+\.\d+", version) and int(version.partition(".")[0]) in NODE_MAJORS]


def _script(package: dict[str, Any]) -> bool:
    return "build" in package.get("scripts", {})


def _package(source: Source) -> dict[str, Any]:
    if "package.json" not in source.files:
        return {}
    try:
        document = json.loads(source.texts.get("package.json", ""))
    except ValueError as error:
        raise BadSource(f"package.json is not valid JSON: {error}.", hint="Correct it and deploy again.") from None
    if not isinstance(document, dict) or not isinstance(document.get("scripts", {}), dict):
        raise BadSource("package.json is not an object with an object of scripts.", hint="npm init -y writes a right one.")
    return document
