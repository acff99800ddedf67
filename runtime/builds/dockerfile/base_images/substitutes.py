"""Stacks of this node that may be used instead of official images of Docker Hub. No I/O.

They are used only if an admin allows it and the image cannot be fetched. A version that the node
does not have has no substitute, because the app may depend on it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from runtime.images.exchange.registry_reference import HUB, RemoteName
from runtime.stacks.definition import NODE_LTS, NODE_NEWEST, PYTHON_DEFAULT

_DEBIAN = {
    "12": ("12", "bookworm"),
    "13": ("13", "trixie", "stable", "latest"),
    "14": ("14", "forky", "testing"),
}
_UBUNTU = {  # the Debian release of the same time
    "12": ("22.04", "jammy"),
    "13": ("24.04", "noble", "25.04", "plucky", "latest", "rolling"),
}
_SMALL = ("slim", "alpine")  # variants of an image without compilers
_NEWEST = ("latest", "bookworm", "trixie")  # tags without a version
_JAVA = ("eclipse-temurin", "openjdk", "amazoncorretto")
_NEWEST_GO = 24  # of Go 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Substitute:
    """A base of this node, and what the image has in addition."""

    base: str  # as FROM names it
    user: str = ""  # the image's own name for the user 1000
    has_compilers: bool = False
    directory: str = "/"  # WORKDIR
    command: tuple[str, ...] = ()
    is_for_alpine: bool = False


def substitute_for(name: str, offered: Collection[str]) -> Substitute | None:
    """Return the substitute of an image, or None. `offered` has the bases of this node."""
    try:
        parsed = RemoteName.parse(name)
    except ValueError:
        return None
    folder, _, image = parsed.path.rpartition("/")
    if parsed.host != HUB or folder != "library" or parsed.digest or image not in _RULES:
        return None
    version, *variants = parsed.tag.split("-")
    found = _RULES[image](version, variants)
    if found is None or found.base not in offered:
        return None
    return found


def _python(version: str, variants: list[str]) -> Substitute | None:
    number = _minor(version, PYTHON_DEFAULT)
    if number is None:
        return None
    return Substitute(
        base=f"python-{number}",
        has_compilers=_is_large(version, *variants),
        command=("python3",),
        is_for_alpine=_is_alpine(version, *variants),
    )


def _node(version: str, variants: list[str]) -> Substitute | None:
    if version == "lts":
        major = max(NODE_LTS.values())
    elif version in NODE_LTS:
        major = NODE_LTS[version]
    elif version in ("latest", "current") or not _is_large(version):
        major = max(int(number.partition(".")[0]) for number in NODE_NEWEST)
    elif match := re.fullmatch(r"(\d{1,3})(?:\.\d{1,3}){0,2}", version):
        major = int(match[1])
    else:
        return None
    return Substitute(
        base=f"node-{major}",
        user="node",
        has_compilers=_is_large(version, *variants),
        command=("node",),
        is_for_alpine=_is_alpine(version, *variants),
    )


def _golang(version: str, variants: list[str]) -> Substitute | None:
    """A newer Go compiles the source of any earlier one (go.dev/doc/go1compat)."""
    match = re.fullmatch(r"1(?:\.(\d{1,3})(?:\.\d{1,3})?)?", version)
    if match is None and version not in _NEWEST and _is_large(version):
        return None
    if match and match[1] and int(match[1]) > _NEWEST_GO:
        return None
    return Substitute(
        base=f"go-1.{_NEWEST_GO}",
        directory="/go",
        command=("bash",),
        has_compilers=_is_large(version, *variants),
        is_for_alpine=_is_alpine(version, *variants),
    )


def _php(version: str, variants: list[str]) -> Substitute | None:
    if {"apache", "fpm"} & {version, *variants}:
        return None  # their web servers are set up at other paths and ports
    number = "8.4" if version in ("cli", "zts") else _minor(version, "8.4")
    if number is None:
        return None
    return Substitute(
        base=f"php-{number}",
        command=("php", "-a"),
        is_for_alpine=_is_alpine(version, *variants),
    )


def _ruby(version: str, variants: list[str]) -> Substitute | None:
    number = _minor(version, "3.3")
    if number is None:
        return None
    return Substitute(
        base=f"ruby-{number}{'-toolchain' if _is_large(version, *variants) else ''}",
        command=("irb",),
        is_for_alpine=_is_alpine(version, *variants),
    )


def _java(version: str, variants: list[str]) -> Substitute | None:
    match = re.match(r"(\d{1,3})(?:[._+]|$)", version)
    if match is None and version != "latest":
        return None
    major = match[1] if match else "25"
    is_jre = "jre" in variants
    return Substitute(
        base=f"java-{major}" if is_jre else f"java-{major}-jdk",
        command=() if is_jre else ("jshell",),
        is_for_alpine=_is_alpine(version, *variants),
    )


def _maven(version: str, variants: list[str]) -> Substitute | None:
    if version != "latest" and not re.match(r"3(?:\.|$)", version):
        return None
    major = next((word for word in variants if word.isdecimal()), "21")
    return Substitute(
        base=f"java-{major}-maven", command=("mvn",), is_for_alpine=_is_alpine(version, *variants)
    )


def _debian(version: str, _: list[str]) -> Substitute | None:
    return _distribution(_DEBIAN, re.sub(r"\.\d{1,2}$", "", version))


def _ubuntu(version: str, _: list[str]) -> Substitute | None:
    return _distribution(_UBUNTU, version)


def _distribution(releases: Mapping[str, tuple[str, ...]], version: str) -> Substitute | None:
    for number, names in releases.items():
        if version in names:
            return Substitute(base=f"debian-{number}", command=("bash",))
    return None


def _minor(version: str, default: str) -> str | None:
    """Return the minor version of a tag such as 3.13.2, or the default of a tag without one."""
    if version in (default.partition(".")[0], *_NEWEST) or not _is_large(version):
        return default
    match = re.fullmatch(r"(\d{1,3}\.\d{1,3})(?:\.\d{1,3})?", version)
    return match[1] if match else None


def _is_large(*words: str) -> bool:
    """Return whether the words of a tag are of an image with compilers."""
    return not any(word.startswith(_SMALL) for word in words)


def _is_alpine(*words: str) -> bool:
    return any(word.startswith("alpine") for word in words)


_Rule = Callable[[str, list[str]], Substitute | None]
_RULES: Mapping[str, _Rule] = {
    "python": _python,
    "node": _node,
    "golang": _golang,
    "php": _php,
    "ruby": _ruby,
    "maven": _maven,
    "debian": _debian,
    "ubuntu": _ubuntu,
    **dict.fromkeys(_JAVA, _java),
}
