"""The union of layers as a file tree of the host, for copying in and out. It is in nobody's file tree, and ends with its holder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from runtime.builds.dockerfile.tree import Tree
from runtime.containers.overlay import MountRoot
from runtime.kernel import Kernel


@contextmanager
def union(layers: Sequence[Path], space: Path, kernel: Kernel) -> Iterator[tuple[Tree, Path]]:
    """(the tree, its writable layer) of `layers`, topmost first; `space` is a fresh folder to work in. Ids are real ones.

    The mount is let go of at once and lives by our open file alone, so that a kill leaves none.
    """
    for name in ("upper", "work", "root", "nothing"):
        (space / name).mkdir(mode=0o755, parents=True)
    top = space / "root"
    mount = MountRoot(
        layers=tuple(layers) or (space / "nothing",), scratch=space, target=top, clones=space / "clones", layer_ids=None, upper_ids=None
    )
    mount.execute(kernel)
    try:
        held = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    finally:
        kernel.unmount(top, lazily=True)
    try:
        yield Tree(root=Path(f"/proc/{os.getpid()}/fd/{held}")), space / "upper"
    finally:
        os.close(held)
