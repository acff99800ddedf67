"""Manifests as values, as they were when a release was built. They are read from the JSON that
workers store with a build.

docs/manifest.md describes the keys. The builder has validated the file. A row without data reads as
an empty file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from runtime.contract.manifest import (
    CronJob,
    DeclaredVolume,
    Overlap,
    Process,
    Script,
    Sizes,
    Variable,
)
from runtime.contract.quantities import Bytes


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
    crons: tuple[CronJob, ...] = ()
    volumes: tuple[DeclaredVolume, ...] = ()
    health: Health | None = None
    image_health: Health | None = None

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """Parse a row's `app_file`."""
        if not document:
            return cls()
        return cls(
            file=document["file"],
            processes={name: _process(values) for name, values in document["processes"].items()},
            variables={name: Variable(**values) for name, values in document["variables"].items()},
            release=Script(**document["release"]),
            postdeploy=Script(**document["postdeploy"]),
            crons=tuple(_cron(values) for values in document["crons"]),
            # rows of earlier versions have no volumes
            volumes=tuple(_volume(values) for values in document.get("volumes", ())),
            health=Health.of(document["health"]),
            image_health=Health.of(document["image_health"]),
        )

    def lacks(self, config: Mapping[str, str]) -> list[str]:
        """Return the required config vars that have no value in `config`."""
        return [
            name
            for name, variable in self.variables.items()
            if variable.required and not config.get(name)
        ]


def _process(document: Mapping[str, Any]) -> Process:
    return Process(count=document["count"], sizes=Sizes(**document["sizes"]))


def _volume(document: Mapping[str, Any]) -> DeclaredVolume:
    values = {"processes": tuple(document["processes"]), "size": Bytes(document["size"])}
    return DeclaredVolume(**{**document, **values})


def _cron(document: Mapping[str, Any]) -> CronJob:
    return CronJob(
        **{**document, "overlap": Overlap(document["overlap"]), "sizes": Sizes(**document["sizes"])}
    )
