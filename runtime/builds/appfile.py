"""What an app's file says, as values: `slipway.toml`, or `app.json` as Heroku and Dokku have it. Pure.

docs/manifest.md has every key. Nothing is decided here: what a team may have, what is set already, what runs when is others'.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from runtime.health import HealthCheck
from runtime.quantities import Bytes, Millicores

TOML, JSON = "slipway.toml", "app.json"
LARGEST = 64 * 2**10  # bytes; far more than anyone writes by hand
MINUTE, HOUR = 60.0, 3600.0


class Overlap(StrEnum):
    """What becomes of a run that is due while the last one goes on."""

    SKIP = "skip"
    ALLOW = "allow"
    REPLACE = "replace"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """What one instance may use; None where the file does not say."""

    cpu: Millicores | None = None
    memory: Bytes | None = None
    disk: Bytes | None = None
    pids: int | None = None

    def over(self, others: Sizes) -> Sizes:
        """These, and `others` where these say nothing."""
        return Sizes(
            cpu=others.cpu if self.cpu is None else self.cpu,
            memory=others.memory if self.memory is None else self.memory,
            disk=others.disk if self.disk is None else self.disk,
            pids=others.pids if self.pids is None else self.pids,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process type. Without a command it is the Procfile's, or the code's."""

    command: str = ""
    count: int | None = None
    sizes: Sizes = field(default_factory=Sizes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A config var the app wants: with a default, with a secret drawn once, or by a person."""

    value: str | None = None
    digits: int = 0  # hexadecimal, of a secret; 0 for none
    required: bool = False
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """What runs once, in an instance of its own."""

    command: str = ""
    timeout: float = 20 * MINUTE


@dataclass(frozen=True, slots=True, kw_only=True)
class CronJob:
    """What runs by the clock. `schedule` is five fields of crontab(5)."""

    name: str
    schedule: str
    command: str
    timezone: str = "UTC"
    overlap: Overlap = Overlap.SKIP
    timeout: float = HOUR
    sizes: Sizes = field(default_factory=Sizes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Building:
    """How it wants to be built."""

    builder: str = ""
    dockerfile: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Static:
    """How a static site wants to be served. `folder` is "" where the builder is to find it, else without a slash at its end."""

    folder: str = ""
    single_page: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AppFile:
    """All of it. `file` is "" where the source has none."""

    file: str = ""
    processes: Mapping[str, Process] = field(default_factory=dict)
    limits: Sizes = field(default_factory=Sizes)  # of process types that are not among these
    variables: Mapping[str, Variable] = field(default_factory=dict)
    release: Script = field(default_factory=Script)
    postdeploy: Script = field(default_factory=Script)
    health: HealthCheck | None = None
    crons: tuple[CronJob, ...] = ()
    building: Building = field(default_factory=Building)
    static: Static = field(default_factory=Static)
    notes: tuple[str, ...] = ()  # for the build log

    def covering(self, names: Collection[str]) -> AppFile:
        """With the limits for these process types too, which a Procfile or the code named."""
        if self.limits == Sizes():
            return self
        others = {name: Process(sizes=self.limits) for name in names if name not in self.processes and name != "release"}
        return replace(self, processes={**self.processes, **others})

    @property
    def commands(self) -> dict[str, str]:
        """Process types and release phase that the file gives a command, to it: they win over a Procfile's."""
        found = {name: process.command for name, process in self.processes.items() if process.command}
        return {**found, **({"release": self.release.command} if self.release.command else {})}
