"""What stacks and language runtimes consist of, as values. Pure: a definition's content is its identity."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

from runtime.stacks.package_manager import PackageManager


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A base root filesystem made of Debian packages."""

    name: str
    suite: str
    packages: tuple[str, ...]  # beside the essential ones
    revision: int = 1  # raised when the way it is built changes


@dataclass(frozen=True, slots=True, kw_only=True)
class DebianRuntime:
    """A language runtime or server as packages on top of a stack: the layer is what they add."""

    name: str
    stack: Stack
    packages: tuple[str, ...]
    files: tuple[tuple[str, str], ...] = ()  # path -> text, written into the layer, mode 755 if it starts with #!
    links: tuple[tuple[str, str], ...] = ()  # path -> where it points
    revision: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRuntime:
    """Node.js and npm from the npm registry's own packages of them, in /opt/node."""

    version: str
    npm: str
    revision: int = 1

    @property
    def name(self) -> str:
        return f"node-{self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bare:
    """What a program without libraries stands on instead of a stack: that one's certificates, and the names of users."""

    stack: Stack
    revision: int = 1

    @property
    def name(self) -> str:
        return f"{self.stack.name}-bare"


Runtime = DebianRuntime | NodeRuntime | PackageManager


def key(definition: Stack | Runtime | Bare, machine: str) -> str:
    """The identity of a definition on a machine architecture: 64 hex digits, changed by any change of content."""
    document = {"kind": type(definition).__name__, "machine": machine, **asdict(definition)}
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


DEBIAN_13 = Stack(
    name="debian-13",
    suite="trixie",
    revision=2,
    packages=("ca-certificates", "libatomic1", "libstdc++6", "media-types", "netbase", "tzdata"),
)

PYTHON = {
    "3.13": DebianRuntime(
        name="python-3.13",
        stack=DEBIAN_13,
        packages=("python3", "python3-venv"),
        links=(("usr/local/bin/python", "/usr/bin/python3"),),  # Debian has no `python`, and Procfiles do
    )
}

NODE_NPM = "10.9.9"  # runs on every Node below
NODE_DEFAULT = "22.23.3"
NODE_NEWEST = ("20.20.2", NODE_DEFAULT, "24.21.0")  # the newest we build with of each major version offered
NODE_MAJORS = (20, 22, 24)


def node(version: str) -> NodeRuntime:
    return NodeRuntime(version=version, npm=NODE_NPM)


GIT = DebianRuntime(name="git", stack=DEBIAN_13, packages=("git",))  # for steps that fetch a dependency from a repository

STACKS = {DEBIAN_13.name: DEBIAN_13}
