"""The difference of two root filesystems, as an overlay's upper: the layer between two trees."""

from __future__ import annotations

import filecmp
import os
import shutil
import stat
from pathlib import Path


def subtract(base: Path, full: Path) -> None:
    """Turn the tree `full` into the layer that gives `full` on top of `base`.

    Equal files are removed, and missing files become whiteouts.
    """
    _subtract(str(base), str(full))


def forget_times(tree: Path, *, after: float, instead: int) -> None:
    """Give another time to all files written `after` a moment (Unix time), so that a new build
    gives the same bytes.
    """
    for folder, folders, files in os.walk(tree):
        for path in (Path(folder), *(Path(folder, name) for name in (*folders, *files))):
            if path.lstat().st_mtime > after:
                os.utime(path, (instead, instead), follow_symlinks=False)


def _subtract(base: str, full: str) -> None:
    ours = {entry.name: entry for entry in os.scandir(full)}
    theirs = {entry.name: entry for entry in os.scandir(base)}
    moment = os.lstat(full).st_mtime_ns
    for name, entry in ours.items():
        below = theirs.get(name)
        if below is None:
            continue
        if entry.is_dir(follow_symlinks=False) and below.is_dir(follow_symlinks=False):
            _subtract(below.path, entry.path)
            if _same_metadata(below, entry) and not any(os.scandir(entry.path)):
                Path(entry.path).rmdir()
        elif _same(below, entry):
            Path(entry.path).unlink()
        elif entry.is_dir(follow_symlinks=False):
            os.setxattr(entry.path, "user.overlay.opaque", b"y")
    for name in theirs.keys() - ours.keys():
        os.mknod(Path(full, name), stat.S_IFCHR, os.makedev(0, 0))
    os.utime(full, ns=(moment, moment))


def _same(below: os.DirEntry[str], entry: os.DirEntry[str]) -> bool:
    if not _same_metadata(below, entry):
        return False
    if entry.is_symlink():
        return Path(entry.path).readlink() == Path(below.path).readlink()
    if not entry.is_file(follow_symlinks=False):
        return (
            below.stat(follow_symlinks=False).st_rdev == entry.stat(follow_symlinks=False).st_rdev
        )
    return filecmp.cmp(below.path, entry.path, shallow=False)


def _same_metadata(below: os.DirEntry[str], entry: os.DirEntry[str]) -> bool:
    """Compare type, mode and owner. Times are ignored, since an installation writes them again."""
    old, new = below.stat(follow_symlinks=False), entry.stat(follow_symlinks=False)
    return (old.st_mode, old.st_uid, old.st_gid) == (new.st_mode, new.st_uid, new.st_gid)


def empty(folder: Path) -> None:
    """Remove the content of a folder, if the folder exists, but not the folder."""
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
