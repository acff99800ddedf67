"""Manifests as values, as they were when a release was built. They are read from the JSON that
workers store with a build.

docs/manifest.md describes the keys. The builder has validated the file. A row without data reads as
an empty file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """CPU in millicores, memory and disk in bytes. None if the manifest does not set it."""

    cpu: int | None = None
    memory: int | None = None
    disk: int | None = None
    pids: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """The number and size of instances of a process type."""

    count: int | None = None
    sizes: Sizes = field(default_factory=Sizes)

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        return cls(count=document["count"], sizes=Sizes(**document["sizes"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A declared config var. `digits` is the length of a secret to generate, 0 for none."""

    value: str | None = None
    digits: int = 0
    required: bool = False
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A command that runs once, for at most `timeout` seconds. Without a command, nothing runs."""

    command: str = ""
    timeout: float = 1200.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cron:
    """A cron job."""

    name: str
    schedule: str
    command: str
    timezone: str
    overlap: str
    timeout: float
    sizes: Sizes

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        return cls(**{**document, "sizes": Sizes(**document["sizes"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """A health check of an instance. Times in seconds. `words` describes the check for people."""

    kind: str
    path: str
    command: tuple[str, ...]
    timeout: float
    start_period: float
    interval: float
    attempts: int
    words: str

    @classmethod
    def of(cls, document: Mapping[str, Any] | None) -> Self | None:
        return cls(**{**document, "command": tuple(document["command"])}) if document else None

    @property
    def patience(self) -> float:
        """Return the seconds after which an instance that has not become healthy is stopped. The
        node allows at least five."""
        return max(self.start_period + self.interval * self.attempts, 5.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """A whole manifest. `file` is its name, or "" if there was none. `image_health` is the check of
    a Dockerfile."""

    file: str = ""
    processes: Mapping[str, Process] = field(default_factory=dict)
    variables: Mapping[str, Variable] = field(default_factory=dict)
    release: Script = field(default_factory=Script)
    postdeploy: Script = field(default_factory=Script)
    crons: tuple[Cron, ...] = ()
    health: Health | None = None
    image_health: Health | None = None

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """Parse a row's `app_file`."""
        if not document:
            return cls()
        return cls(
            file=document["file"],
            processes={name: Process.of(values) for name, values in document["processes"].items()},
            variables={name: Variable(**values) for name, values in document["variables"].items()},
            release=Script(**document["release"]),
            postdeploy=Script(**document["postdeploy"]),
            crons=tuple(Cron.of(values) for values in document["crons"]),
            health=Health.of(document["health"]),
            image_health=Health.of(document["image_health"]),
        )

    def lacks(self, config: Mapping[str, str]) -> list[str]:
        """Return the required config vars that have no value in `config`."""
        return [name for name, variable in self.variables.items() if variable.required and not config.get(name)]
