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

    @property
    def reads_all(self) -> bool:
        return self.whole or not self.files

    def reads(self) -> str:
        """For the log: "requirements.txt", "pyproject.toml and uv.lock", "the source"."""
        return "the source" if self.reads_all else " and ".join(self.files)


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
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()},
        "surroundings": dict(surroundings),
        **({"team": team} if team is not None else {}),
    }
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
