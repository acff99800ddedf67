"""A container's writable layer, for who asks what is in it: looked at while it runs, or copied whole while all in it stands still.

Standing still is the control group's freezer. Who freezes leaves a mark first, so that a killed process of ours leaves nobody
frozen: `wake_forgotten` thaws what is marked and held by no one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from runtime import journal
from runtime.confined.session import Confinement
from runtime.containers import bundle
from runtime.containers.cgroups.cgroup import Cgroups
from runtime.containers.folder import Folder
from runtime.containers.spec import ContainerSpec, Purpose
from runtime.errors import LaunchFailed
from runtime.images.layers import packing
from runtime.images.layers.sanitizing import measure, prune, tame
from runtime.images.layers.written import MOST_CHANGES, Written, written
from runtime.images.scratch import remove_tree

_MARK, _LOCK = "still", "still.lock"
_COPY_SECONDS = 300.0


class Writable:
    """The writable layers of one node's containers."""

    def __init__(self, *, cgroups: Cgroups, confinement: Confinement) -> None:
        self._cgroups, self._confinement = cgroups, confinement

    def of_build(self, folder: Folder) -> Path:
        """Of a build container that has ended: with real ids, and without the mount points we made in it."""
        journalled = folder.journalled()
        if journalled is None or journalled.spec.purpose is not Purpose.BUILD or not folder.scratch.is_mount():
            raise LaunchFailed(f"There is no build container {folder.id} with a writable layer.")
        upper = folder.scratch / "upper"
        with self._confinement.session(journalled.spec.team) as helper:
            helper.call(prune, upper=helper.tree(upper, writable=True), names=bundle.mount_points(journalled.spec))
        return upper

    def changes(self, folder: Folder, *, most: int = MOST_CHANGES) -> Written:
        """What an instance wrote so far. It goes on meanwhile."""
        spec = _instance(folder)
        ours = frozenset(bundle.mount_points(spec))
        with self._confinement.session(spec.team) as helper:
            upper = helper.tree(folder.scratch / "upper", as_written=True)
            return helper.call(written, upper=upper, layers=helper.trees(spec.layers), ignored=ours, most=most)

    def copy(self, folder: Folder, into: Path, *, most: int, while_still: Callable[[], None] = lambda: None) -> None:
        """Copy what an instance wrote to a new folder, with real ids and without setuid bits. Frozen meanwhile.

        BuildFailed: it reads as more than `most` bytes, or is too much otherwise. An instance that slept and was woken meanwhile is not
        kept waiting: it is copied anew, then held by us. `while_still` is called once nothing in it moves.
        """
        spec = _instance(folder)
        if not self._copied_still(folder, spec, into, most, while_still):
            remove_tree(into)
            if not self._copied_still(folder, spec, into, most, while_still):
                raise LaunchFailed(f"{folder.id} did not stand still while it was copied.", hint="Try again, unless it has ended.")

    def is_held(self, folder: Folder) -> bool:
        """Whether somebody froze it to copy it, and will let it go on in a moment."""
        if not (folder.path / _MARK).exists():
            return False
        with journal.lock(folder.path / _LOCK, blocking=False) as free:
            return not free

    def _copied_still(self, folder: Folder, spec: ContainerSpec, into: Path, most: int, while_still: Callable[[], None]) -> bool:
        into.mkdir(mode=0o755)
        with self._still(folder, spec), self._confinement.session(spec.team) as helper:
            stood = self._cgroups.is_frozen(spec.team, spec.id)
            while_still()
            upper, target = helper.tree(folder.scratch / "upper", as_written=True), helper.tree(into, writable=True)
            helper.call(measure, top=upper, most=most, who="the instance")
            helper.call_for(_COPY_SECONDS, lambda _: None, packing.copy, source=upper, target=target)
            helper.call(tame, top=target, most=most)
            helper.call(prune, upper=target, names=bundle.mount_points(spec))
            return not stood or self._cgroups.is_frozen(spec.team, spec.id)

    def wake_forgotten(self, folders: Iterable[Folder]) -> list[str]:
        """Thaw what a killed process of ours froze; returns what, in words."""
        woken = []
        for folder in folders:
            if not (folder.path / _MARK).exists():
                continue
            with journal.lock(folder.path / _LOCK, blocking=False) as held:
                journalled = folder.journalled()
                if held and journalled is not None:
                    self._wake(folder, journalled.spec)
                    woken.append(f"thawed {folder.id}, which a killed process had frozen")
        return woken

    @contextmanager
    def _still(self, folder: Folder, spec: ContainerSpec) -> Iterator[None]:
        with journal.lock(folder.path / _LOCK):
            if self._cgroups.is_frozen(spec.team, spec.id) and not (folder.path / _MARK).exists():
                yield  # another has put it to sleep, and will wake it
                return
            (folder.path / _MARK).touch()
            try:
                self._cgroups.freeze(spec.team, spec.id, frozen=True)
                self._cgroups.await_still(spec.team, spec.id)
                yield
            finally:
                self._wake(folder, spec)

    def _wake(self, folder: Folder, spec: ContainerSpec) -> None:
        self._cgroups.freeze(spec.team, spec.id, frozen=False)
        (folder.path / _MARK).unlink(missing_ok=True)


def _instance(folder: Folder) -> ContainerSpec:
    journalled = folder.journalled()
    if journalled is None or not folder.scratch.is_mount():
        raise LaunchFailed(f"There is no container {folder.id} any more.", hint="Look which instances run.")
    if journalled.spec.purpose is not Purpose.RUN:
        raise LaunchFailed(f"{folder.id} is a build, and no instance.")
    return journalled.spec
