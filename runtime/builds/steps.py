"""Install steps as values, and the key of a step's layer in the cache.

Pure; the caller passes the bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from runtime.images.digest import Digest
from runtime.stacks.stack import Runtime

TEXTS = "/build/texts"  # in a build container
_REVISION = 2  # increased when steps run differently, so that old layers are not used for new ones


class Tool(StrEnum):
    UV = "uv"
    NPM = "npm"
    PNPM = "pnpm"
    YARN = "yarn"
    SHELL = "sh"  # downloads nothing
    GO = "go"
    COMPOSER = "composer"
    BUNDLER = "bundler"
    JAVA = "javac"
    MAVEN = "mvn"
    GRADLE = "gradle"


@dataclass(frozen=True, slots=True, kw_only=True)
class Install:
    """One step in a build container. It makes one layer.

    A step with `on_code` runs after all others, on the layer of the app's code. Its files in /app
    are above the code and hide it.
    The other steps see `files`, or the whole source, as a copy.
    """

    name: str
    tool: Tool
    files: tuple[str, ...]  # the files of the source that it reads, if it does not read all of it
    whole: bool  # it reads the whole source
    command: str  # a shell line, run in the folder of the files
    keep: tuple[str, ...]  # folders of the container that become the layer
    says: str = ""  # the command in a few words, for the log; if "", the last part of `command`
    on_code: bool = False
    ships: bool = True  # the layer is part of the image; if False, only later steps use it
    texts: tuple[
        tuple[str, str], ...
    ] = ()  # name -> content: files that Slipway writes to TEXTS for the command
    build_runtimes: tuple[
        Runtime, ...
    ] = ()  # additional layers below the step, which the image does not have
    compilers: tuple[
        Runtime, ...
    ] = ()  # layers below a second attempt, if a package could not be compiled without them
    if_it_fails: str = ""  # if set, a failure is only a warning, which ends with this text

    @property
    def reads_all(self) -> bool:
        return self.whole or self.on_code

    def reads(self) -> str:
        """Return the inputs for the log: "requirements.txt", "pyproject.toml and uv.lock", "the
        source".
        """
        if self.reads_all:
            return "the source"
        return " and ".join(self.files) or "the toolchain"

    @property
    def shown(self) -> str:
        return self.says or self.command.rpartition(" && ")[2]

    def describe(self) -> str:
        """Return the command and its inputs, for the image's history."""
        return f"{self.name}: {self.shown}, for {self.reads()}"


def in_order(installs: tuple[Install, ...]) -> tuple[Install, ...]:
    """Return the steps in their order, but those on the code last."""
    return tuple(sorted(installs, key=lambda install: install.on_code))


def step_key(
    install: Install,
    parent: Digest,
    contents: Mapping[str, bytes],
    surroundings: Mapping[str, str],
    *,
    team: int | None = None,
    egress: str = "",
    variables: Mapping[str, str] | None = None,
) -> str:
    """Return 64 hex digits over all inputs of the step: lower layers, bytes read, command, tools
    and settings.

    `team` is set for a step that saw more than declared inputs, such as a whole source or config
    vars. No other team finds its layer. `variables` are the config vars that it saw. `egress` is a
    digest of the connections that the step may open, "" if it may open any.
    """
    document = {
        "revision": _REVISION,
        "parent": parent,
        "tool": install.tool,
        "command": install.command,
        "keep": install.keep,
        "whole": install.whole,
        "on_code": install.on_code,
        "texts": dict(install.texts),
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()},
        "surroundings": dict(surroundings),
        **({"team": team} if team is not None else {}),
        **({"egress": egress} if egress else {}),
        **({"variables": dict(variables)} if variables else {}),
    }
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
