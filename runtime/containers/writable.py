"""A container's writable layer, for who asks what is in it: looked at while it runs, or copied whole while all in it stands still.

Standing still is the control group's freezer. Who freezes leaves a mark first, so that a killed process of ours leaves nobody
frozen: `wake_forgotten` thaws what is marked and held by no one.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from runtime import journal
from runtime.containers import bundle
from runtime.containers.cgroup import Cgroups
from runtime.containers.folder import Folder
from runtime.containers.spec import ContainerSpec, Purpose
from runtime.containers.userns import UserNamespaces
from runtime.errors import LaunchFailed
from runtime.images.written import MOST_CHANGES, Written, written
from runtime.kernel import Kernel, MountFlag
from runtime.process import run

_MARK, _LOCK = "still", "still.lock"
_COPY_SECONDS = 300.0


class Writable:
    """The writable layers of one node's containers."""

    def __init__(self, *, kernel: Kernel, cgroups: Cgroups, namespaces: UserNamespaces) -> None:
        self._kernel, self._cgroups, self._namespaces = kernel, cgroups, namespaces

    def of_build(self, folder: Folder) -> Path:
        """Of a build container that has ended: with real ids, and without the mount points we made in it."""
        journalled = folder.journalled()
        if journalled is None or journalled.spec.purpose is not Purpose.BUILD or not folder.scratch.is_mount():
            raise LaunchFailed(f"There is no build container {folder.id} with a writable layer.")
        upper = folder.scratch / "upper"
        for target in bundle.mount_points(journalled.spec):
            prune(upper, target)
        return upper

    def changes(self, folder: Folder, *, most: int = MOST_CHANGES) -> Written:
        """What an instance wrote so far. It goes on meanwhile."""
        spec = _instance(folder)
        ours = frozenset(bundle.mount_points(spec))
        return written(folder.scratch / "upper", spec.layers, first_id=spec.first_id, ignored=ours, most=most)

    def copy(self, folder: Folder, into: Path, check: Callable[[Path], None]) -> None:
        """Copy what an instance wrote to a new folder, with real ids. Frozen meanwhile; `check` looks first and may refuse.

        One that slept and was woken meanwhile is not kept waiting: it is copied anew, then held by us.
        """
        spec = _instance(folder)
        if not self._copied_still(folder, spec, into, check):
            shutil.rmtree(into)
            if not self._copied_still(folder, spec, into, check):
                raise LaunchFailed(f"{folder.id} did not stand still while it was copied.", hint="Try again, unless it has ended.")
        for target in bundle.mount_points(spec):
            prune(into, target)

    def is_held(self, folder: Folder) -> bool:
        """Whether somebody froze it to copy it, and will let it go on in a moment."""
        if not (folder.path / _MARK).exists():
            return False
        with journal.lock(folder.path / _LOCK, blocking=False) as free:
            return not free

    def _copied_still(self, folder: Folder, spec: ContainerSpec, into: Path, check: Callable[[Path], None]) -> bool:
        into.mkdir(mode=0o755)
        with self._still(folder, spec), self._with_real_ids(folder, spec) as upper:
            stood = self._cgroups.is_frozen(spec.team, spec.id)
            check(upper)
            run(["setpriv", "--pdeathsig", "KILL", "cp", "-a", "--reflink=auto", f"{upper}/.", into], timeout=_COPY_SECONDS)
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

    @contextmanager
    def _with_real_ids(self, folder: Folder, spec: ContainerSpec) -> Iterator[Path]:
        """The upper through a mount that nobody sees but by this path, which is gone with our process."""
        with (self._namespaces.of_written(spec.team, spec.first_id)).open("rb") as namespace:
            flags = MountFlag.READ_ONLY | MountFlag.NO_DEVICES | MountFlag.NO_SETUID | MountFlag.NO_EXEC
            clone = self._kernel.clone_tree(folder.scratch / "upper", idmap=namespace.fileno(), flags=flags)
        try:
            yield Path(f"/proc/{os.getpid()}/fd/{clone}")
        finally:
            os.close(clone)


def _instance(folder: Folder) -> ContainerSpec:
    journalled = folder.journalled()
    if journalled is None or not folder.scratch.is_mount():
        raise LaunchFailed(f"There is no container {folder.id} any more.", hint="Look which instances run.")
    if journalled.spec.purpose is not Purpose.RUN:
        raise LaunchFailed(f"{folder.id} is a build, and no instance.")
    return journalled.spec


def prune(upper: Path, target: str) -> None:
    """Take away an empty file or folder, but never through a link that the container's own processes may have put there."""
    place = upper
    for part in Path(target).parts[1:]:
        if place.is_symlink():
            return
        place /= part
    if place.is_symlink() or not place.exists():
        return
    if place.is_file() and place.stat().st_size == 0:
        place.unlink()
    elif place.is_dir() and not any(place.iterdir()):
        place.rmdir()
