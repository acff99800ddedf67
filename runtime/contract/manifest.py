"""Values of an app's manifest: `slipway.toml`, or `app.json` as Heroku and Dokku define it. Pure.

docs/manifest.md describes every key. These values decide nothing.
Other modules decide what a team may use, what is already set, and what runs when.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from runtime.contract.health import HealthCheck
from runtime.contract.quantities import Bytes, Millicores

TOML, JSON = "slipway.toml", "app.json"
LARGEST = 64 * 2**10  # bytes; far more than a manifest written by hand
MINUTE, HOUR = 60.0, 3600.0


class Overlap(StrEnum):
    """The action for a run that is due while the last run continues."""

    SKIP = "skip"
    ALLOW = "allow"
    REPLACE = "replace"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """The resources that one instance may use; None where the file does not specify them."""

    cpu: Millicores | None = None
    memory: Bytes | None = None
    disk: Bytes | None = None
    pids: int | None = None

    def over(self, others: Sizes) -> Sizes:
        """Return these values, with those of `others` where these are None."""
        return Sizes(
            cpu=others.cpu if self.cpu is None else self.cpu,
            memory=others.memory if self.memory is None else self.memory,
            disk=others.disk if self.disk is None else self.disk,
            pids=others.pids if self.pids is None else self.pids,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process type. If `command` is empty, the Procfile or the code gives the command."""

    command: str = ""
    count: int | None = None
    sizes: Sizes = field(default_factory=Sizes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A config var of the app.

    It has a default, or a secret generated once, or a person sets it.
    """

    value: str | None = None
    digits: int = 0  # number of hexadecimal digits of a secret; 0 if there is none
    required: bool = False
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A command that runs once, in its own instance."""

    command: str = ""
    timeout: float = 20 * MINUTE


@dataclass(frozen=True, slots=True, kw_only=True)
class CronJob:
    """A scheduled command. `schedule` is five fields of crontab(5)."""

    name: str
    schedule: str
    command: str
    timezone: str = "UTC"
    overlap: Overlap = Overlap.SKIP
    timeout: float = HOUR
    sizes: Sizes = field(default_factory=Sizes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Building:
    """The build settings of the app."""

    builder: str = ""
    dockerfile: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Static:
    """The settings of a static site.

    `folder` has no slash at its end; it is "" where the builder has to find the folder.
    """

    folder: str = ""
    single_page: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredVolume:
    """A persistent folder. `processes` are the process types that get it; empty: all."""

    name: str
    path: str
    size: Bytes
    processes: tuple[str, ...] = ()
    overlap: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AppFile:
    """The whole manifest. `file` is "" where the source has none."""

    file: str = ""
    processes: Mapping[str, Process] = field(default_factory=dict)
    limits: Sizes = field(default_factory=Sizes)  # of process types that are not in `processes`
    variables: Mapping[str, Variable] = field(default_factory=dict)
    release: Script = field(default_factory=Script)
    postdeploy: Script = field(default_factory=Script)
    health: HealthCheck | None = None
    crons: tuple[CronJob, ...] = ()
    volumes: tuple[DeclaredVolume, ...] = ()
    building: Building = field(default_factory=Building)
    static: Static = field(default_factory=Static)
    notes: tuple[str, ...] = ()  # for the build log

    def covering(self, names: Collection[str]) -> AppFile:
        """Return the manifest with the limits for process types from a Procfile or the code too."""
        if self.limits == Sizes():
            return self
        others = {
            name: Process(sizes=self.limits)
            for name in names
            if name not in self.processes and name != "release"
        }
        return replace(self, processes={**self.processes, **others})

    @property
    def commands(self) -> dict[str, str]:
        """Return the file's commands of the process types and of the release phase.

        They have precedence over those of a Procfile.
        """
        found = {
            name: process.command for name, process in self.processes.items() if process.command
        }
        return {**found, **({"release": self.release.command} if self.release.command else {})}
