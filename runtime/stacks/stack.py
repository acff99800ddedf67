"""Definitions of stacks and language runtimes, as values.

Pure: a definition's content is its identity.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

from runtime.stacks.packages.package_manager import PackageManager


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A base root filesystem: either Debian packages of one suite, or the content of an image of a
    registry.
    """

    name: str
    suite: str = ""
    packages: tuple[str, ...] = ()  # in addition to the essential ones
    apt: tuple[str, ...] = ()  # lines of an apt.conf, only for this stack
    image: str = ""  # HOST/NAME:TAG of a registry
    files: tuple[
        tuple[str, str], ...
    ] = ()  # path -> text, written into it, mode 755 if it starts with #!
    revision: int = 1  # increased when the way it is built changes


@dataclass(frozen=True, slots=True, kw_only=True)
class DebianRuntime:
    """A language runtime or server as packages on top of a stack.

    The layer has the files that they add.
    """

    name: str
    stack: Stack
    packages: tuple[str, ...]  # none: the stack contains it already
    files: tuple[tuple[str, str], ...] = ()  # as for a stack
    links: tuple[tuple[str, str], ...] = ()  # path -> its target
    program: str = ""  # path of its program, if it is not /usr/bin and the first package
    commands: tuple[
        str, ...
    ] = ()  # shell commands run as root inside the finished tree, without a network
    revision: int = 1

    @property
    def executable(self) -> str:
        """Return the absolute path of the language's program."""
        return self.program or f"/usr/bin/{self.packages[0]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRuntime:
    """Node.js and npm from the packages of the npm registry, in /opt/node.

    They are the same on every stack.
    """

    version: str
    npm: str
    revision: int = 1

    @property
    def name(self) -> str:
        return f"node-{self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bare:
    """The base of a program without libraries, instead of a stack: the stack's certificates and
    user names.
    """

    stack: Stack
    revision: int = 1

    @property
    def name(self) -> str:
        return f"{self.stack.name}-bare"


Runtime = DebianRuntime | NodeRuntime | PackageManager


def key(definition: Stack | Runtime | Bare, machine: str) -> str:
    """Return the identity of a definition on a machine architecture: 64 hex digits that depend on
    all its content.
    """
    content = asdict(definition)
    if not content.get("commands"):  # a later field: definitions without it keep their identity
        content.pop("commands", None)
    document = {"kind": type(definition).__name__, "machine": machine, **content}
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
