"""The union of layers as a detached file tree to copy into and out of.

It ends with the process that holds it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from runtime.confined.session import Session
from runtime.containers.disk.overlay import MountRoot
from runtime.kernel import Kernel
from runtime.team_ids import first_id_of
from runtime.trees.folder import Folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Union:
    """Layers under a writable one, shown with the ids of the helper's team."""

    root: Folder
    upper: Path  # the writable layer, with real ids


@contextmanager
def union(
    layers: Sequence[Path],
    space: Path,
    helper: Session,
    kernel: Kernel,
    *,
    changes: Path | None = None,
    attached: bool = False,
) -> Iterator[Union]:
    """Mount `layers`, topmost first; `space` is a new folder for the mount's own files.

    `changes` is an empty folder for what is written; by default, `space`.

    The mount is detached at once, and only our open file keeps it, so it does not remain after a
    kill.
    With `attached`, it is detached only at the end: the kernel copies no part of a detached mount
    (open_tree(2)).
    A sweep removes it after a kill.
    """
    changes = changes or space
    for name in ("root", "nothing"):
        (space / name).mkdir(mode=0o755, parents=True)
    for name in ("upper", "work"):
        (changes / name).mkdir(mode=0o755)
    top = space / "root"
    mount = MountRoot(
        layers=tuple(layers) or (space / "nothing",),
        scratch=changes,
        target=top,
        clones=space / "clones",
        layer_ids=helper.ids,
        upper_ids=helper.ids,
        owner=first_id_of(helper.team),
    )
    mount.execute(kernel)
    try:
        held = os.open(top, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except BaseException:
        kernel.unmount(top, lazily=True)
        raise
    if not attached:
        kernel.unmount(top, lazily=True)
    try:
        with Folder(held) as root:
            yield Union(root=root, upper=changes / "upper")
    finally:
        if attached:
            kernel.unmount(top, lazily=True)
