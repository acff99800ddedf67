"""What package managers downloaded, kept for each team from build to build: never in a layer, never seen by another team, limited.

Whatever runs in a build may write there what it likes, so what is found there is an input nobody declared. Hence a step whose layer
others may share begins with an empty cache, all alone, which is the team's afterwards if it had none. Steps of one team use
theirs at the same time; it is cut to size only while none does. Dockerfiles' own cache mounts are held the same way.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from runtime.builds.steps import Tool
from runtime.builds.surroundings import Surroundings
from runtime.config import NodeConfig
from runtime.containers.spec import Bind
from runtime.images.disk import size_of, unless_gone

KEPT = 14 * 86_400.0  # seconds after its last use
OVERFLOW = 2  # times its size: then the step is stopped, and done again without the cache
_CUT_TO = 0.8  # of its size, so that it is not cut again after the next download
_LOOK = 3.0  # seconds between two looks at the size of what is being written
_INSIDE = "/build/cache"
_GONE = ".gone-"
_VARIABLES = {
    Tool.UV: {"UV_CACHE_DIR": f"{_INSIDE}/uv", "PIP_CACHE_DIR": f"{_INSIDE}/pip"},
    Tool.NPM: {"NPM_CONFIG_CACHE": f"{_INSIDE}/npm", "NPM_CONFIG_LOGS_MAX": "0"},
    Tool.PNPM: dict.fromkeys(("NPM_CONFIG_STORE_DIR", "PNPM_CONFIG_STORE_DIR"), f"{_INSIDE}/pnpm"),  # up to version 10, and since 11
    # Yarn 1 reads npm's variables. Later ones mirror in their folder what they put into the app's, where Plug'n'Play runs from;
    # YARN_CACHE_FOLDER would take it away from there.
    Tool.YARN: {"NPM_CONFIG_CACHE_FOLDER": f"{_INSIDE}/yarn", "YARN_GLOBAL_FOLDER": f"{_INSIDE}/berry"},
    Tool.COMPOSER: {"COMPOSER_CACHE_DIR": f"{_INSIDE}/composer"},
}
_AS_ONE = {"uv": 4, "yarn": 3}  # how many names of a path make what these remove as a whole; others check each file they find


@dataclass(slots=True, kw_only=True)
class Lent:
    """A cache while one step uses it."""

    folder: Path
    most: int  # bytes
    _looked: float = field(default_factory=time.monotonic)
    overflowed: bool = False

    def around(self, step: Surroundings, tool: Tool) -> Surroundings:
        """The step's surroundings with the cache in them."""
        environment = {name: value for name, value in step.environment.items() if name != "UV_NO_CACHE"}
        binds = (*step.binds, Bind(source=self.folder, target=_INSIDE, writable=True))
        return replace(step, environment={**environment, **_VARIABLES[tool]}, binds=binds)

    def overflows(self) -> bool:
        """Asked again and again while the step runs."""
        if not self.overflowed and time.monotonic() - self._looked > _LOOK:
            self.overflowed = size_of(self.folder) > self.most * OVERFLOW
            self._looked = time.monotonic()
        return self.overflowed


def keeps(tool: Tool) -> bool:
    """Whether what it downloads is kept. Go's modules and Bundler's gems are in layers of their own and nowhere else."""
    return tool in _VARIABLES


class PackageCaches:
    """Those of all teams of this node."""

    def __init__(self, config: NodeConfig) -> None:
        self._config = config
        self._packages, self._mounts = config.cache / "packages", config.cache / "mounts"

    @contextmanager
    def lent(self, team: int, owner: int, place: Path, *, alone: bool) -> Iterator[Lent]:
        """A team's cache for one step. `owner`: the host id of its root; `alone`: an empty one in `place`, for a layer others may share.

        It becomes the team's if the step succeeds and the team has none.
        """
        theirs = self._packages / str(team)
        if alone:
            fresh = _made(place / "packages", owner)
            yield (lent := Lent(folder=fresh, most=self._config.package_cache))
            if not lent.overflowed:
                self._packages.mkdir(mode=0o711, parents=True, exist_ok=True)
                with self.using(team), suppress(OSError):  # there is one already, or it is on another disk
                    fresh.rename(theirs)
        else:
            with self.using(team):
                self._packages.mkdir(mode=0o711, parents=True, exist_ok=True)
                yield Lent(folder=_made(theirs, owner), most=self._config.package_cache)
        self.cut(team)

    def has(self, team: int) -> bool:
        """Whether anything was downloaded for the team that is still here."""
        return (self._packages / str(team)).is_dir()

    @contextmanager
    def using(self, team: int) -> Iterator[None]:
        """Nothing of the team's caches is removed inside the block."""
        with self._locked(team, fcntl.LOCK_SH):
            for folder in (self._packages / str(team), self._mounts / str(team)):
                with suppress(FileNotFoundError):
                    os.utime(folder)
            yield

    def cut(self, team: int, most: int | None = None) -> int:
        """Remove what was used least recently until the team's downloads fit; bytes removed, 0 while a step uses them."""
        folder = self._packages / str(team)
        most = self._config.package_cache if most is None else most
        with self._locked(team, fcntl.LOCK_EX | fcntl.LOCK_NB) as held:
            if not held or not folder.is_dir():
                return 0
            parts = _parts(folder)
            total = sum(size for size, _ in parts.values())
            if total <= most:
                return 0
            removed = 0
            for names, (size, _) in sorted(parts.items(), key=lambda item: item[1][1]):
                if total - removed <= most * _CUT_TO:
                    break
                _remove(folder, names)
                removed += size
            return removed

    def cut_mounts(self, team: int, most: int) -> None:
        """Remove the team's cache mounts that were used least recently until the rest fit; none while a step uses any."""
        with self._locked(team, fcntl.LOCK_EX | fcntl.LOCK_NB) as held:
            mounts = sorted(_folders(self._mounts / str(team)), key=lambda path: path.stat().st_mtime) if held else []
            sizes = {mount: size_of(mount) for mount in mounts}
            total = sum(sizes.values())
            for mount in mounts if total > most else ():
                if total <= most * _CUT_TO:
                    break
                shutil.rmtree(mount)
                total -= sizes[mount]

    def collect(self, now: float, *, all_of_it: bool = False) -> int:
        """Remove whole caches that no step used for long, or all that are idle; how many went."""
        removed = 0
        for folder in (*_folders(self._packages), *(mount for team in _folders(self._mounts) for mount in _folders(team))):
            team = folder.name if folder.parent == self._packages else folder.parent.name
            if not team.isdecimal() or not (all_of_it or now - folder.stat().st_mtime > KEPT):
                continue
            with self._locked(int(team), fcntl.LOCK_EX | fcntl.LOCK_NB) as held:
                if held:
                    shutil.rmtree(folder)
                    removed += 1
        return removed

    @contextmanager
    def _locked(self, team: int, how: int) -> Iterator[bool]:
        self._config.locks.mkdir(parents=True, exist_ok=True)
        fd = os.open(self._config.locks / f"packages-{team}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(fd, how)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(fd)


def _made(folder: Path, owner: int) -> Path:
    folder.mkdir(mode=0o700, exist_ok=True)
    os.chown(folder, owner, owner)
    return folder


def _parts(folder: Path) -> dict[tuple[str, ...], tuple[int, float]]:
    """What may go by itself: (bytes, last use as Unix seconds) by the names that lead to it."""
    found: dict[tuple[str, ...], tuple[int, float]] = {}
    for place, _, names, at in os.fwalk(folder, follow_symlinks=False, onerror=unless_gone):
        below = Path(place).relative_to(folder).parts
        for name in names:
            with suppress(FileNotFoundError):
                status = os.stat(name, dir_fd=at, follow_symlinks=False)  # of an open folder
                part = _part_of((*below, name))
                size, used = found.get(part, (0, 0.0))
                found[part] = (size + status.st_blocks * 512, max(used, status.st_atime, status.st_mtime))
    return found


def _part_of(names: tuple[str, ...]) -> tuple[str, ...]:
    """An unpacked wheel of uv's must not lose a file: whoever installs it next would not notice."""
    if names[0] == "uv" and len(names) > 1 and names[1].startswith("archive-"):
        return names[:3]
    return names[: _AS_ONE.get(names[0], len(names))]


def _remove(folder: Path, names: tuple[str, ...]) -> None:
    """Through open folders only: what is below is the tenant's, and a link there must lead nowhere."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        for name in names[:-1]:
            inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
            os.close(fd)
            fd = inner
        try:
            os.unlink(names[-1], dir_fd=fd)  # in an open folder
        except IsADirectoryError:
            aside = f"{_GONE}{os.urandom(6).hex()}"
            os.rename(names[-1], aside, src_dir_fd=fd, dst_dir_fd=fd)  # at once: nobody finds a part of it
            shutil.rmtree(aside, dir_fd=fd)
    except (FileNotFoundError, NotADirectoryError):
        return  # gone, or turned into something else, meanwhile
    finally:
        os.close(fd)


def _folders(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if path.is_dir() and not path.is_symlink()] if folder.is_dir() else []
