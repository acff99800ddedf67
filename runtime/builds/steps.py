"""Install steps as values, and the key under which a step's layer is found again. Pure but for the bytes handed in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from runtime.images.digest import Digest
from runtime.stacks.definition import Runtime

TEXTS = "/build/texts"  # in a build container
_REVISION = 2  # raised when steps are run in another way, so that old layers are not taken for new


class Tool(StrEnum):
    UV = "uv"
    NPM = "npm"
    PNPM = "pnpm"
    YARN = "yarn"
    SHELL = "sh"  # nothing is fetched
    GO = "go"
    COMPOSER = "composer"
    BUNDLER = "bundler"
    JAVA = "javac"


@dataclass(frozen=True, slots=True, kw_only=True)
class Install:
    """One step in a build container, which makes one layer.

    A step `on_code` runs after all others, on the layer of the app's code: what it makes in /app lies above that and wins. The
    others see `files`, or the whole source, as a copy.
    """

    name: str
    tool: Tool
    files: tuple[str, ...]  # what it reads of the source, if not all of it
    whole: bool  # it reads the whole source
    command: str  # a shell line, run where the files lie
    keep: tuple[str, ...]  # folders of the container that become the layer
    says: str = ""  # the command in a few words, for the log; "" for its last part
    on_code: bool = False
    ships: bool = True  # the layer goes into the image; off, only later steps stand on it
    texts: tuple[tuple[str, str], ...] = ()  # name -> content: files of ours that the command finds in TEXTS
    beside: tuple[Runtime, ...] = ()  # layers that the step stands on, too, and the image does not

    @property
    def reads_all(self) -> bool:
        return self.whole or self.on_code

    def reads(self) -> str:
        """For the log: "requirements.txt", "pyproject.toml and uv.lock", "the source"."""
        if self.reads_all:
            return "the source"
        return " and ".join(self.files) or "the toolchain"

    @property
    def shown(self) -> str:
        return self.says or self.command.rpartition(" && ")[2]

    def describe(self) -> str:
        """For the image's history: what was run, and for what."""
        return f"{self.name}: {self.shown}, for {self.reads()}"


def in_order(installs: tuple[Install, ...]) -> tuple[Install, ...]:
    """As they are, but those on the code last."""
    return tuple(sorted(installs, key=lambda install: install.on_code))


def step_key(
    install: Install, parent: Digest, contents: Mapping[str, bytes], surroundings: Mapping[str, str], *, team: int | None = None
) -> str:
    """64 hex digits over all that decides the outcome: the layers below, the bytes read, the command, tools and settings.

    `team` is given for a step that saw more than declared inputs, such as a whole source; nobody else finds its layer.
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
    }
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
