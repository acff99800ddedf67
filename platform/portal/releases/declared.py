"""What an app's own file said when a release was built, as values: read from the JSON that the workers hand over with a build.

docs/manifest.md has the keys. The file was checked by who built it; a row that says nothing reads as an empty file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """CPU in millicores, memory and disk in bytes; None where the file does not say."""

    cpu: int | None = None
    memory: int | None = None
    disk: int | None = None
    pids: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """How many of a process type, and of what size."""

    count: int | None = None
    sizes: Sizes = field(default_factory=Sizes)

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        return cls(count=document["count"], sizes=Sizes(**document["sizes"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A config var that is wanted. `digits` are those of a secret to draw, 0 for none."""

    value: str | None = None
    digits: int = 0
    required: bool = False
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """What runs once, for `timeout` seconds at most; no command, nothing."""

    command: str = ""
    timeout: float = 1200.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cron:
    """What runs by the clock."""

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
    """How an instance is asked whether it is well; times in seconds. `words` say it to people."""

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
        """Seconds until an instance that was never well is given up; the node gives it five at the least."""
        return max(self.start_period + self.interval * self.attempts, 5.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """All of it. `file` is its name, or "" where the source had none; `image_health` is a Dockerfile's."""

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
        """From a row's `app_file`."""
        if not document:
            return cls()
        return cls(
            file=document["file"],
            processes={name: Process.of(one) for name, one in document["processes"].items()},
            variables={name: Variable(**one) for name, one in document["variables"].items()},
            release=Script(**document["release"]),
            postdeploy=Script(**document["postdeploy"]),
            crons=tuple(Cron.of(one) for one in document["crons"]),
            health=Health.of(document["health"]),
            image_health=Health.of(document["image_health"]),
        )

    def lacks(self, config: Mapping[str, str]) -> list[str]:
        """The required config vars that have no value there."""
        return [name for name, variable in self.variables.items() if variable.required and not config.get(name)]
