"""Merge an image of a registry into one tree, a stack's single layer.

Its files are not trusted: none is run, and no link is followed.
"""

from __future__ import annotations

import stat
from pathlib import Path

from runtime import process
from runtime.errors import BadStack, ProcessFailed

MOST_LAYERS = 50  # their names must fit into one page of mount options
_SCRIPT = 'mount -t overlay overlay -o "ro,lowerdir=$1" "$2" && cp -a --reflink=auto "$2"/. "$3"'


def flatten(layers: tuple[Path, ...], space: Path, tree: Path) -> None:
    """Copy the union of unpacked layers. They are topmost first and in one folder.

    The mount is in a namespace that ends with the copying.
    """
    if len(layers) > MOST_LAYERS:
        raise BadStack(
            f"The image has {len(layers)} layers; a stack can have at most {MOST_LAYERS}.",
            hint="Squash it first.",
        )
    empty, union = space / "empty", space / "union"
    for folder in (empty, union, tree):
        folder.mkdir(mode=0o755)
    lower = ":".join([*(layer.name for layer in layers), str(empty)])  # an overlay needs two
    contained = (
        "setpriv",
        "--pdeathsig",
        "KILL",
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "--kill-child",
        "--fork",
    )
    try:
        process.run(
            [*contained, "sh", "-c", _SCRIPT, "sh", lower, union, tree],
            cwd=layers[0].parent,
            timeout=600,
        )
    except ProcessFailed as failure:
        raise BadStack(
            f"Could not merge the image's layers: {failure}", hint="Check whether the disk is full."
        ) from None


def inside(tree: Path, name: str) -> Path:
    """Return the place of a relative path in a tree, and make its folders.

    BadStack: a part of the path is not a real folder.
    """
    path = tree
    *folders, last = name.split("/")
    for part in folders:
        path /= part
        try:
            mode = path.lstat().st_mode
        except FileNotFoundError:
            path.mkdir(mode=0o755)
            continue
        if not stat.S_ISDIR(mode):
            raise BadStack(
                f"Could not write {name} into the stack: {path.relative_to(tree)} is a link or a"
                " file there.",
                hint="Use the path that the link points to.",
            )
    if (path / last).is_dir() and not (path / last).is_symlink():
        raise BadStack(
            f"Could not write {name} into the stack: a folder has that name.",
            hint="Choose another name.",
        )
    return path / last
