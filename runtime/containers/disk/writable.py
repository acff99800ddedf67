"""The content of a container's writable layer.

Changes can be listed while the container runs. A full copy is made while the control group's
freezer stops all its processes. A mark is written before the freeze. If the copying process is
killed, `wake_forgotten` thaws containers that have a mark and are not locked.
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
from runtime.images.layers.sanitizing import measure, remove_empty_mount_points, remove_privileges
from runtime.images.layers.written import MOST_CHANGES, Written, written
from runtime.images.scratch import remove_tree

_MARK, _LOCK = "still", "still.lock"
_COPY_SECONDS = 300.0


class Writable:
    """The writable layers of one node's containers."""

    def __init__(self, *, cgroups: Cgroups, confinement: Confinement) -> None:
        self._cgroups, self._confinement = cgroups, confinement

    def of_build(self, folder: Folder) -> Path:
        """Return the writable layer of a build container that has ended.

        It has real ids, and the mount points that the platform created are removed.
        """
        journalled = folder.journalled()
        if (
            journalled is None
            or journalled.spec.purpose is not Purpose.BUILD
            or not folder.scratch.is_mount()
        ):
            raise LaunchFailed(f"There is no build container {folder.id} with a writable layer.")
        upper = folder.scratch / "upper"
        with self._confinement.session(journalled.spec.team) as helper:
            helper.call(
                remove_empty_mount_points,
                upper=helper.tree(upper, writable=True),
                names=bundle.mount_points(journalled.spec),
            )
        return upper

    def changes(self, folder: Folder, *, most: int = MOST_CHANGES) -> Written:
        """Return an instance's changes so far. The instance continues to run."""
        spec = _instance(folder)
        ours = frozenset(bundle.mount_points(spec))
        with self._confinement.session(spec.team) as helper:
            upper = helper.tree(folder.scratch / "upper", as_written=True)
            return helper.call(
                written, upper=upper, layers=helper.trees(spec.layers), ignored=ours, most=most
            )

    def copy(
        self,
        folder: Folder,
        into: Path,
        *,
        most: int,
        while_still: Callable[[], None] = lambda: None,
    ) -> None:
        """Copy an instance's changes to a new folder, with real ids and without setuid bits.

        The instance is frozen during the copy. `while_still` is called when it is frozen. If it was
        asleep and is woken during the copy, it does not wait: the copy starts again, and then
        freezes it. Raises BuildFailed if the changes have more than `most` bytes or exceed another
        limit.
        """
        spec = _instance(folder)
        if not self._copied_still(folder, spec, into, most, while_still):
            remove_tree(into)
            if not self._copied_still(folder, spec, into, most, while_still):
                raise LaunchFailed(
                    f"{folder.id} did not stay frozen while it was copied.",
                    hint="Try again, unless it has ended.",
                )

    def is_held(self, folder: Folder) -> bool:
        """Return whether a process froze it for a copy, and will thaw it afterwards."""
        if not (folder.path / _MARK).exists():
            return False
        with journal.lock(folder.path / _LOCK, blocking=False) as free:
            return not free

    def _copied_still(
        self,
        folder: Folder,
        spec: ContainerSpec,
        into: Path,
        most: int,
        while_still: Callable[[], None],
    ) -> bool:
        into.mkdir(mode=0o755)
        with self._still(folder, spec), self._confinement.session(spec.team) as helper:
            was_frozen = self._cgroups.is_frozen(spec.team, spec.id)
            while_still()
            upper, target = (
                helper.tree(folder.scratch / "upper", as_written=True),
                helper.tree(into, writable=True),
            )
            helper.call(measure, top=upper, most=most, who="the instance")
            helper.call_for(
                _COPY_SECONDS, lambda _: None, packing.copy, source=upper, target=target
            )
            helper.call(remove_privileges, top=target, most=most)
            helper.call(remove_empty_mount_points, upper=target, names=bundle.mount_points(spec))
            return not was_frozen or self._cgroups.is_frozen(spec.team, spec.id)

    def wake_forgotten(self, folders: Iterable[Folder]) -> list[str]:
        """Thaw containers that a killed platform process froze. Return log lines."""
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
                yield  # another process froze it because it is asleep, and will thaw it
                return
            (folder.path / _MARK).touch()
            try:
                self._cgroups.freeze(spec.team, spec.id, frozen=True)
                self._cgroups.wait_until_frozen(spec.team, spec.id)
                yield
            finally:
                self._wake(folder, spec)

    def _wake(self, folder: Folder, spec: ContainerSpec) -> None:
        self._cgroups.freeze(spec.team, spec.id, frozen=False)
        (folder.path / _MARK).unlink(missing_ok=True)


def _instance(folder: Folder) -> ContainerSpec:
    journalled = folder.journalled()
    if journalled is None or not folder.scratch.is_mount():
        raise LaunchFailed(
            f"Container {folder.id} no longer exists.", hint="Check which instances run."
        )
    if journalled.spec.purpose is not Purpose.RUN:
        raise LaunchFailed(f"{folder.id} is a build, not an instance.")
    return journalled.spec
