"""A container's root file system: the image's shared layers below one private writable layer.

See Documentation/filesystems/overlayfs.rst. Layers are never chowned: the kernel shifts their ids
for each mount (mount_setattr(2), idmapped mounts). A run container's writable layer has shifted ids
and is discarded. A build's writable layer is mounted with shifted ids, so that it has real ids on
the disk and becomes an image layer.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from runtime import syscalls
from runtime.errors import KernelRefused, LaunchFailed
from runtime.kernel import Kernel, MountFlag

_FLAGS = MountFlag.NO_DEVICES | MountFlag.NO_SETUID
# volatile: an fsync inside need not reach a disk that is discarded. userxattr: a confined helper,
# which has no privileges on the host, can read and write the attributes that are the overlay's
# marks. The rest: a writable layer does not refer to other layers, as the OCI specification
# requires.
_OPTIONS = ("volatile", "userxattr", "redirect_dir=nofollow", "metacopy=off", "index=off")


@dataclass(frozen=True, slots=True, kw_only=True)
class MountRoot:
    """Mount an overlay of `layers` (topmost first) below scratch/upper on `target`."""

    layers: tuple[Path, ...]
    scratch: Path  # holds upper/ and work/
    target: Path
    clones: Path  # our own folder, for kernels that take layers only by path
    layer_ids: int | None  # fd of a user namespace that shifts the layers' ids; None: no shift
    upper_ids: int | None  # the same for the writable layer
    # Owner of files that the overlay itself creates, such as marks of deleted files. It is an id as
    # the writable layer's mount shows it.
    owner: int = 0

    def describe(self) -> str:
        """Return the line for the log."""
        return f"mount {len(self.layers)} layers on {self.target}"

    def execute(self, kernel: Kernel) -> None:
        """Mount the overlay. Raises KernelRefused, or LaunchFailed if a layer does not exist."""
        for layer in self.layers:
            if not layer.is_dir():
                raise LaunchFailed(
                    f"The layer {layer} does not exist.", hint="Deploy the app again to rebuild it."
                )
        with ExitStack() as stack:
            layers = [
                _detached(kernel, stack, layer, self.layer_ids, MountFlag.READ_ONLY)
                for layer in self.layers
            ]
            writable = _detached(kernel, stack, self.scratch, self.upper_ids, MountFlag.NONE)
            # An overlay has the rights of the thread that mounted it.
            with ThreadPoolExecutor(1) as thread:
                thread.submit(self._mount, kernel, layers, writable).result()

    def _mount(self, kernel: Kernel, layers: Sequence[int], writable: int) -> None:
        if self.owner:
            syscalls.write_files_as(self.owner)
        try:
            self._by_fd(kernel, layers, writable)
        except KernelRefused as refusal:
            if refusal.errno not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
                raise
            self._by_path(kernel, layers, writable)

    def _by_fd(self, kernel: Kernel, layers: Sequence[int], writable: int) -> None:
        """Mount by file descriptors (lowerdir+, Linux 6.13). Only the result is visible."""
        with _folder("upper", writable) as upper, _folder("work", writable) as work:
            root = kernel.new_overlay(layers, upper, work, options=_OPTIONS, flags=_FLAGS)
        try:
            kernel.attach(root, self.target)
        finally:
            os.close(root)

    def _by_path(self, kernel: Kernel, layers: Sequence[int], writable: int) -> None:
        """Mount by paths.

        The clones are attached only during the mount; the overlay keeps them open afterwards.
        The options have the descriptors' paths. A container can read the options, so they must not
        contain paths of the host.
        """
        self.clones.mkdir(mode=0o700, exist_ok=True)
        attached: list[Path] = []
        with ExitStack() as stack:
            try:
                for number, layer in enumerate([*layers, writable]):
                    place = self.clones / str(number)
                    place.mkdir(exist_ok=True)
                    kernel.attach(layer, place)
                    attached.append(place)
                *lower, scratch = (
                    f"/proc/self/fd/{stack.enter_context(_folder(place))}" for place in attached
                )
                options = [
                    f"lowerdir={':'.join(lower)}",
                    f"upperdir={scratch}/upper",
                    f"workdir={scratch}/work",
                    *_OPTIONS,
                ]
                kernel.mount(
                    "overlay", self.target, "overlay", flags=_FLAGS, options=",".join(options)
                )
            finally:
                for place in reversed(attached):
                    kernel.unmount(place, lazily=True)
                    place.rmdir()
                self.clones.rmdir()


def _detached(
    kernel: Kernel, stack: ExitStack, source: Path, ids: int | None, flags: MountFlag
) -> int:
    clone = kernel.clone_tree(source, idmap=ids, flags=flags)
    stack.callback(os.close, clone)
    return clone


@contextmanager
def _folder(path: str | Path, below: int | None = None) -> Iterator[int]:
    fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=below)
    try:
        yield fd
    finally:
        os.close(fd)
