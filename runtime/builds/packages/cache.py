"""Package caches: downloads of package managers, kept for each team from build to build.

They are never in a layer, no other team sees them, and their size is limited.
Any program in a build may write there, so their content is an input that nobody declared.
So a step whose layer others may share starts with its own empty cache. That becomes the team's
cache if the team has none.
Steps of one team use its cache at the same time. It is reduced only while no step uses it.
Dockerfiles' own cache mounts are kept in the same way.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from runtime.builds.packages.cache_size import CUT_TO, cut
from runtime.builds.packages.sources import ToolSettings
from runtime.builds.steps import Tool
from runtime.config import NodeConfig
from runtime.confined import answers, removal
from runtime.confined.session import Confinement
from runtime.containers.spec import Bind
from runtime.images.scratch import remove_tree

KEPT = 14 * 86_400.0  # seconds after the last use
OVERFLOW = 2  # factor of its limit at which the step is stopped, and run again without the cache
_POLL_SECONDS = 3.0  # seconds between two measurements of the cache while a step writes to it
_INSIDE = "/build/cache"
_VARIABLES = {
    Tool.UV: {"UV_CACHE_DIR": f"{_INSIDE}/uv", "PIP_CACHE_DIR": f"{_INSIDE}/pip"},
    Tool.NPM: {"NPM_CONFIG_CACHE": f"{_INSIDE}/npm", "NPM_CONFIG_LOGS_MAX": "0"},
    Tool.PNPM: dict.fromkeys(
        ("NPM_CONFIG_STORE_DIR", "PNPM_CONFIG_STORE_DIR"), f"{_INSIDE}/pnpm"
    ),  # up to version 10, and from 11 on
    # Yarn 1 reads npm's variables. Later versions mirror the archives of the app's folder in their
    # own folder. Plug'n'Play runs from the app's folder; YARN_CACHE_FOLDER would move the archives
    # out of it.
    Tool.YARN: {
        "NPM_CONFIG_CACHE_FOLDER": f"{_INSIDE}/yarn",
        "YARN_GLOBAL_FOLDER": f"{_INSIDE}/berry",
    },
    Tool.COMPOSER: {"COMPOSER_CACHE_DIR": f"{_INSIDE}/composer"},
    Tool.MAVEN: {"SLIPWAY_MAVEN_REPOSITORY": f"{_INSIDE}/maven"},
    Tool.GRADLE: {"GRADLE_USER_HOME": f"{_INSIDE}/gradle"},
}


@dataclass(slots=True, kw_only=True)
class MountedCache:
    """A cache while one step uses it."""

    folder: Path
    team: int
    most: int  # bytes
    _looked: float = field(default_factory=time.monotonic)
    overflowed: bool = False

    def around(self, step: ToolSettings, tool: Tool) -> ToolSettings:
        """Return the step's surroundings with the cache added."""
        environment = {
            name: value for name, value in step.environment.items() if name != "UV_NO_CACHE"
        }
        binds = (*step.binds, Bind(source=self.folder, target=_INSIDE, writable=True))
        return replace(step, environment={**environment, **_VARIABLES[tool]}, binds=binds)

    def overflows(self) -> bool:
        """Return whether the cache is too large. Called repeatedly while the step runs."""
        if not self.overflowed and time.monotonic() - self._looked > _POLL_SECONDS:
            self.overflowed = _size(self.folder, self.team) > self.most * OVERFLOW
            self._looked = time.monotonic()
        return self.overflowed


def keeps(tool: Tool) -> bool:
    """Return whether this tool's downloads are kept.

    Go's modules and Bundler's gems are only in their own layers.
    """
    return tool in _VARIABLES


class PackageCaches:
    """The package caches of all teams of this node."""

    def __init__(self, config: NodeConfig) -> None:
        self._config = config
        self._packages, self._mounts = config.cache / "packages", config.cache / "mounts"

    @contextmanager
    def lent(self, team: int, owner: int, place: Path, *, alone: bool) -> Iterator[MountedCache]:
        """Yield a team's cache for one step.

        `owner` is the host id of the container's root.
        `alone` means an empty cache in `place`, for a layer that others may share.
        That cache becomes the team's if the step succeeds and the team has none.
        """
        theirs = self._packages / str(team)
        if alone:
            fresh = _ensure_folder(place / "packages", owner)
            yield (lent := MountedCache(folder=fresh, team=team, most=self._config.package_cache))
            if not lent.overflowed:
                self._packages.mkdir(mode=0o711, parents=True, exist_ok=True)
                with (
                    self.using(team),
                    suppress(OSError),
                ):  # the team has a cache already, or it is on another disk
                    fresh.rename(theirs)
        else:
            with self.using(team):
                self._packages.mkdir(mode=0o711, parents=True, exist_ok=True)
                yield MountedCache(
                    folder=_ensure_folder(theirs, owner), team=team, most=self._config.package_cache
                )
        self.cut(team)

    def has(self, team: int) -> bool:
        """Return whether there are downloads for the team."""
        return (self._packages / str(team)).is_dir()

    @contextmanager
    def using(self, team: int) -> Iterator[None]:
        """Prevent removals from the team's caches inside the block."""
        with self._locked(team, fcntl.LOCK_SH):
            for folder in (self._packages / str(team), self._mounts / str(team)):
                with suppress(FileNotFoundError):
                    os.utime(folder)
            yield

    def cut(self, team: int, most: int | None = None) -> int:
        """Remove the least recently used downloads until they fit.

        Return the removed bytes, 0 while a step uses them.
        """
        folder = self._packages / str(team)
        most = self._config.package_cache if most is None else most
        with self._locked(team, fcntl.LOCK_EX | fcntl.LOCK_NB) as held:
            if not held or not folder.is_dir():
                return 0
            with Confinement().session(team) as helper:
                return helper.call(
                    cut, top=helper.tree(folder, writable=True, as_written=True), most=most
                )

    def cut_mounts(self, team: int, most: int) -> None:
        """Remove the team's least recently used cache mounts until the rest fits; none while a step
        uses any.
        """
        with self._locked(team, fcntl.LOCK_EX | fcntl.LOCK_NB) as held:
            mounts = (
                sorted(_folders(self._mounts / str(team)), key=lambda path: path.stat().st_mtime)
                if held
                else []
            )
            sizes = {mount: _size(mount, team) for mount in mounts}
            total = sum(sizes.values())
            for mount in mounts if total > most else ():
                if total <= most * CUT_TO:
                    break
                remove_tree(mount, team=team, as_written=True)
                total -= sizes[mount]

    def collect(self, now: float, *, all_of_it: bool = False) -> int:
        """Remove whole caches that no step used for long, or all that are idle.

        Return their number.
        """
        removed = 0
        for folder in (
            *_folders(self._packages),
            *(mount for team in _folders(self._mounts) for mount in _folders(team)),
        ):
            team = folder.name if folder.parent == self._packages else folder.parent.name
            if not team.isdecimal() or not (all_of_it or now - folder.stat().st_mtime > KEPT):
                continue
            with self._locked(int(team), fcntl.LOCK_EX | fcntl.LOCK_NB) as held:
                if held:
                    remove_tree(folder, team=int(team), as_written=True)
                    removed += 1
        return removed

    @contextmanager
    def _locked(self, team: int, how: int) -> Iterator[bool]:
        self._config.locks.mkdir(parents=True, exist_ok=True)
        fd = os.open(
            self._config.locks / f"packages-{team}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        try:
            try:
                fcntl.flock(fd, how)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(fd)


def _ensure_folder(folder: Path, owner: int) -> Path:
    folder.mkdir(mode=0o700, exist_ok=True)
    os.chown(folder, owner, owner)
    return folder


def _size(folder: Path, team: int) -> int:
    """Return the bytes on disk that a team's containers wrote."""
    with Confinement().session(team) as helper:
        return answers.number(
            helper.call(removal.measure, top=helper.tree(folder, as_written=True))
        )


def _folders(folder: Path) -> list[Path]:
    return (
        [path for path in sorted(folder.iterdir()) if path.is_dir() and not path.is_symlink()]
        if folder.is_dir()
        else []
    )
