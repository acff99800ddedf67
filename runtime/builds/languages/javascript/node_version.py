"""Choose the version of Node.js that a source requires, in any form that people write. Pure."""

from __future__ import annotations

import re

import nodesemver

from runtime.builds.languages import node_package_manager
from runtime.builds.languages.detect import Source
from runtime.builds.languages.javascript.package import package
from runtime.builds.languages.language import Inputs
from runtime.errors import BadSource
from runtime.stacks.definition import (
    NODE_DEFAULT,
    NODE_LTS,
    NODE_MAJORS,
    NODE_NEWEST,
    NODE_OLDEST,
    node,
)
from runtime.stacks.stack import NodeRuntime

LONGEST_WISH = (
    100  # characters; nodesemver's time grows with their square, and all other builds wait for it
)
_NEWEST = frozenset(("node", "latest", "current", "stable"))  # names of nvm and others


def choose(inputs: Inputs) -> tuple[NodeRuntime, str]:
    """Return the requested Node.js, and the text for the log.

    The list of all versions is requested only if the known ones do not match.
    """
    wish, where = _wish(inputs.source)
    if len(wish) > LONGEST_WISH:
        raise BadSource(
            f"{where} is too long for a range of versions.", hint='Write for example "22.x".'
        )
    if not wish:
        return node(NODE_DEFAULT), f"Node.js {NODE_DEFAULT}, the default"
    wanted = version_range(wish)
    try:
        found = (
            _best(wanted, (NODE_DEFAULT,))
            or _best(wanted, NODE_NEWEST)
            or _best(wanted, tuple(_offered(inputs.node_versions())))
        )
    except ValueError:
        raise BadSource(
            f"{where} reads {wish!r}, which is not a valid range of versions.",
            hint='Write for example "22.x".',
        ) from None
    if found is None:
        majors = ", ".join(f"{major}.x" for major in NODE_MAJORS)
        raise BadSource(
            f"{where} requires Node.js {wish}, which is not available. Available: {majors}.",
            hint="Write one of these there.",
        )
    return node(found), f"Node.js {found}, {where} requires {wish}"


def version_range(wish: str) -> str:
    """Return the range of npm for a wish: `lts/*`, `lts/-1`, `lts/jod`, `jod`, `node`, or a range.

    An unknown name stays as it is; it is not a valid range.
    """
    name = wish.strip().lower().removeprefix("--")
    if name in _NEWEST:
        return f"{max(NODE_MAJORS)}.x"
    release = re.sub(r"^lts[/-](?=.)", "", name)
    majors = sorted(NODE_LTS.values(), reverse=True)
    if release in ("lts", "*") and name != "*":
        return f"{majors[0]}.x"
    if (back := re.fullmatch(r"-(\d{1,2})", release)) and int(back[1]) < len(majors):
        return f"{majors[int(back[1])]}.x"
    if release in NODE_LTS:
        return f"{NODE_LTS[release]}.x"
    plain = re.sub(r"^node(?:js)?[-@ ]?(?=v?\d)", "", wish.strip())
    return re.sub(r"(?<![\w.-])[vV](?=\d)", "", plain.replace(",", " "))


def _wish(source: Source) -> tuple[str, str]:
    """Return (what is requested, or "", and the place that specifies it)."""
    if wish := node_package_manager.engine(package(source), "node"):
        return wish, "engines.node in package.json"
    for file in (".node-version", ".nvmrc"):
        if line := _first_line(source.texts.get(file, "")):
            return line, file
    return "", ""


def _first_line(text: str) -> str:
    """Return the first line with content, without its comment and without settings NAME=VALUE."""
    lines = (re.split(r"(?:^|\s)#", line)[0].strip() for line in text.splitlines())
    return next((line for line in lines if line and not re.match(r"[A-Za-z]\w*=", line)), "")


def _best(wish: str, versions: tuple[str, ...]) -> str | None:
    found = nodesemver.max_satisfying(list(versions), wish, loose=False)
    return None if found is None else str(found)


def _offered(versions: list[str]) -> list[str]:
    return [
        version
        for version in versions
        if re.fullmatch(r"\d+\.\d+\.\d+", version) and int(version.partition(".")[0]) >= NODE_OLDEST
    ]
