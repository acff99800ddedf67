"""A container's root: its image's shared layers under one writable layer of its own (Documentation/filesystems/overlayfs.rst).

Layers are never chowned: the kernel shifts their ids for each mount (mount_setattr(2), idmapped mounts). A run container's
writable layer holds shifted ids and is thrown away; a build's is shifted too, so that it holds real ids and becomes a layer.
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
# volatile: an fsync inside need not reach a disk that is thrown away. userxattr: the overlay's marks are attributes that a confined
# helper, which has no right over the host, can read and write. The rest: a writable layer stands by itself, as OCI wants.
_OPTIONS = ("volatile", "userxattr", "redirect_dir=nofollow", "metacopy=off", "index=off")


@dataclass(frozen=True, slots=True, kw_only=True)
class MountRoot:
    """The union of `layers` (topmost first) under scratch/upper, on `target`."""

    layers: tuple[Path, ...]
    scratch: Path  # holds upper/ and work/
    target: Path
    clones: Path  # a folder of our own, for kernels that take layers by path only
    layer_ids: int | None  # user namespaces' fds: how ids of the layers are shifted; None: not at all
    upper_ids: int | None  # and of the writable layer; None: not at all
    owner: int = 0  # of what the overlay itself makes in it, such as marks of deleted files; as the writable layer's mount counts

    def describe(self) -> str:
        """For the log."""
        return f"mount {len(self.layers)} layers on {self.target}"

    def execute(self, kernel: Kernel) -> None:
        """KernelRefused, or LaunchFailed where a layer is not there."""
        for layer in self.layers:
            if not layer.is_dir():
                raise LaunchFailed(f"The layer {layer} does not exist.", hint="Deploy the app again to rebuild it.")
        with ExitStack() as stack:
            layers = [_detached(kernel, stack, layer, self.layer_ids, MountFlag.READ_ONLY) for layer in self.layers]
            writable = _detached(kernel, stack, self.scratch, self.upper_ids, MountFlag.NONE)
            with ThreadPoolExecutor(1) as thread:  # an overlay works with the rights of the thread that mounted it
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
        """Nothing is visible in the file tree but the result (lowerdir+ by fd, Linux 6.13)."""
        with _folder("upper", writable) as upper, _folder("work", writable) as work:
            root = kernel.new_overlay(layers, upper, work, options=_OPTIONS, flags=_FLAGS)
        try:
            kernel.attach(root, self.target)
        finally:
            os.close(root)

    def _by_path(self, kernel: Kernel, layers: Sequence[int], writable: int) -> None:
        """Attach the clones for the moment of mounting; the overlay keeps its own hold on them afterwards.

        They are given as descriptors' paths: a container reads these options, and no path of the host belongs there.
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
                *lower, scratch = (f"/proc/self/fd/{stack.enter_context(_folder(place))}" for place in attached)
                options = [f"lowerdir={':'.join(lower)}", f"upperdir={scratch}/upper", f"workdir={scratch}/work", *_OPTIONS]
                kernel.mount("overlay", self.target, "overlay", flags=_FLAGS, options=",".join(options))
            finally:
                for place in reversed(attached):
                    kernel.unmount(place, lazily=True)
                    place.rmdir()
                self.clones.rmdir()


def _detached(kernel: Kernel, stack: ExitStack, source: Path, ids: int | None, flags: MountFlag) -> int:
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
