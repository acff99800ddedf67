"""Install steps as values, and the key under which a step's layer is found again. Pure but for the bytes handed in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from runtime.images.digest import Digest

_REVISION = 1  # raised when steps are run in another way, so that old layers are not taken for new


class Tool(StrEnum):
    UV = "uv"
    NPM = "npm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Install:
    """One step in a build container, which makes one layer."""

    name: str
    tool: Tool
    files: tuple[str, ...]  # what it reads of the source, if not all of it
    whole: bool  # it reads the whole source
    command: str  # a shell line, run where the files lie
    keep: tuple[str, ...]  # folders of the container that become the layer

    def reads(self) -> str:
        """For the log: "requirements.txt", "pyproject.toml and uv.lock", "the source"."""
        return "the source" if self.whole or not self.files else " and ".join(self.files)

    def describe(self) -> str:
        """For the image's history: what was run, and for what."""
        return f"{self.name}: {self.command.split(' && ')[-1]}, for {self.reads()}"


def step_key(install: Install, parent: Digest, contents: Mapping[str, bytes], surroundings: Mapping[str, str]) -> str:
    """64 hex digits over all that decides the outcome: the layers below, the bytes read, the command, tools and settings."""
    document = {
        "revision": _REVISION,
        "parent": parent,
        "tool": install.tool,
        "command": install.command,
        "keep": install.keep,
        "whole": install.whole,
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()},
        "surroundings": dict(surroundings),
    }
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
