"""What stacks and language runtimes consist of, as values. Pure: a definition's content is its identity."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

from runtime.stacks.package_manager import PackageManager


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A base root filesystem: Debian packages of one suite, or what an image of a registry holds. One of the two."""

    name: str
    suite: str = ""
    packages: tuple[str, ...] = ()  # beside the essential ones
    apt: tuple[str, ...] = ()  # lines of an apt.conf, for this stack alone
    image: str = ""  # HOST/NAME:TAG of a registry
    files: tuple[tuple[str, str], ...] = ()  # path -> text, written into it, mode 755 if it starts with #!
    revision: int = 1  # raised when the way it is built changes


@dataclass(frozen=True, slots=True, kw_only=True)
class DebianRuntime:
    """A language runtime or server as packages on top of a stack: the layer is what they add."""

    name: str
    stack: Stack
    packages: tuple[str, ...]  # none: the stack holds it already
    files: tuple[tuple[str, str], ...] = ()  # as a stack's
    links: tuple[tuple[str, str], ...] = ()  # path -> where it points
    program: str = ""  # path of its program, where that is not /usr/bin and the first package
    commands: tuple[str, ...] = ()  # shell commands run as root inside the finished tree, without a network
    revision: int = 1

    @property
    def executable(self) -> str:
        """Absolute path of the language's program."""
        return self.program or f"/usr/bin/{self.packages[0]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRuntime:
    """Node.js and npm from the npm registry's own packages of them, in /opt/node: the same on every stack."""

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
    content = asdict(definition)
    if not content.get("commands"):  # a later field: what does not use it keeps the identity that it had
        content.pop("commands", None)
    document = {"kind": type(definition).__name__, "machine": machine, **content}
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
