"""The cache mounts of RUN steps: folders of a team that remain after the build."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from runtime import journal
from runtime.builds.context import BuildContext
from runtime.builds.dockerfile import work
from runtime.builds.dockerfile.mounts import Kind, Mount
from runtime.builds.dockerfile.run.values import Run
from runtime.builds.dockerfile.union import union
from runtime.builds.packages.cache import PackageCaches
from runtime.confined import answers, removal
from runtime.contract.quantities import Bytes
from runtime.errors import BuildFailed
from runtime.images.scratch import remove_tree
from runtime.team_ids import first_id_of

CACHE_LIMIT = Bytes(4 << 30)  # of all cache mounts of a team
_POLL_SECONDS = 5.0  # seconds between two measurements of a cache


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheMounts:
    """The cache mounts of one RUN step."""

    context: BuildContext
    asked: Run

    @property
    def folder(self) -> Path:
        return self.context.config.cache / "mounts" / str(self.context.team)

    def size(self) -> int:
        """Return the total bytes of the team's caches.

        Each cache is measured separately, since the helper cannot read their parent folder, which
        root owns.
        Slipway chose the names of the caches.
        """
        total, helper = 0, self.context.helper
        for folder in self.folder.iterdir():
            if not folder.name.startswith("."):  # a new cache is renamed after it is filled
                with helper.tree(folder, as_written=True) as top:
                    total += helper.call(removal.measure, top=top)
        return total

    @contextmanager
    def using(self, mount: Mount, number: int) -> Iterator[Path]:
        """Yield a team's cache folder, which remains after the build.

        At first, it is filled with the content that `from` names. Its files have the ids of the
        team's containers.
        """
        context, of = self.context, self.asked.of
        name = hashlib.sha256(mount.id.encode()).hexdigest()[:32]
        self.folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        folder = self.folder / name
        caches = PackageCaches(context.config)
        if not any(earlier.kind is Kind.CACHE for earlier in self.asked.mounts[:number]):
            caches.cut_mounts(context.team, CACHE_LIMIT)
        with ExitStack() as stack:
            stack.enter_context(caches.using(context.team))
            if mount.locked:
                left = max(context.budget.left(), 1)
                if not stack.enter_context(
                    journal.lock(
                        context.config.locks / f"mount-{context.team}-{name}", timeout=left
                    )
                ):
                    raise BuildFailed(
                        f"Dockerfile, line {of.line}: another build used the cache mount {mount.id}"
                        " until the time limit."
                    )
            if not folder.exists():
                self._fill(mount, number, folder)
            os.utime(folder)  # its last use, for the collector
            yield folder

    def _fill(self, mount: Mount, number: int, folder: Path) -> None:
        context = self.context
        first = first_id_of(context.team)
        fresh = folder.with_name(f".{folder.name}")  # appears complete, or not at all
        remove_tree(fresh, team=context.team, as_written=True)
        fresh.mkdir(mode=0o700)
        try:
            os.chown(fresh, first, first)
            self._copy(mount, number, fresh)
            fresh.chmod(mount.mode)
            os.chown(fresh, first + mount.uid, first + mount.gid)
            fresh.rename(folder)
        except BaseException:  # `size` does not count a part of a cache
            remove_tree(fresh, team=context.team, as_written=True)
            raise

    def _copy(self, mount: Mount, number: int, fresh: Path) -> None:
        """Copy the content that `from` names, if the team's caches have space for it."""
        context = self.context
        if number in self.asked.lent:
            lent = self.asked.lent[number]
            place = self.asked.place / f"union{number}"
            place.mkdir(mode=0o755)
            with (
                union(lent.layers, place, context.helper, context.kernel) as united,
                context.helper.tree(fresh, writable=True, as_written=True) as target,
            ):
                size = context.helper.call(work.size_below, source=united.root, name=lent.name)
                if self.size() + answers.number(size) > CACHE_LIMIT:
                    raise BuildFailed(
                        f"Dockerfile, line {self.asked.of.line}: with the content of from= for"
                        f" {mount.target}, the team's cache mounts would exceed {CACHE_LIMIT}.",
                        hint="Mount a smaller folder with source=, or use type=bind.",
                    )
                context.helper.call(work.fill, source=united.root, name=lent.name, target=target)


class CacheWatch:
    """A check that runs repeatedly during a step: the step ends when its cache mounts are too
    large.
    """

    def __init__(self, measure: Callable[[], int] | None) -> None:
        self._measure, self._next = measure, time.monotonic() + _POLL_SECONDS
        self.full = False

    def __call__(self) -> bool:
        if self._measure is not None and not self.full and time.monotonic() > self._next:
            self.measure()
        return self.full

    def measure(self) -> None:
        """Measure now. A step that ended between two measurements may have written too much."""
        if self._measure is not None and not self.full:
            self.full = self._measure() > CACHE_LIMIT
            self._next = time.monotonic() + _POLL_SECONDS
