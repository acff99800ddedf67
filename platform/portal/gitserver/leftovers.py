"""Remove files of interrupted pushes: incomplete packs, and tars for builds. They are removed when
nobody writes to them."""

from __future__ import annotations

import fcntl
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

from portal.gitserver import slots
from portal.programs import confinement

log = logging.getLogger(__name__)
_IN_OBJECTS = (
    "incoming-*",
    "tmp_objdir-*",
    "pack/tmp_*",
    "pack/.tmp-*",
    "??/tmp_obj_*",
)  # quarantine folders (git-receive-pack(1)) and temporary packs
_LOCKS = ("*.lock", "refs/heads/*.lock")


def sweep() -> None:
    """Remove the processes and files of a killed portal. Runs when the portal starts."""
    groups = place.sweep() if (place := confinement.subtree()) else 0
    removed = sum(
        clean(int(path.stem))
        for path in Path(settings.REPOSITORIES).glob("*.git")
        if path.stem.isdecimal()
    )
    removed += _clean_drafts()
    if groups or removed:
        log.warning(
            "Removed %d control groups and %d files or folders of interrupted pushes.",
            groups,
            removed,
        )


def clean(repository: int) -> int:
    """Remove the leftover files of a repository, unless somebody writes to it now. Return their
    number."""
    alone = slots.take_alone(repository)
    if alone is None:
        return 0
    try:
        return sum(
            _remove(path) for path in _left_in(Path(settings.REPOSITORIES) / f"{repository}.git")
        )
    finally:
        alone.free()


def _left_in(path: Path) -> Iterator[Path]:
    for pattern in _IN_OBJECTS:
        yield from (path / "objects").glob(pattern)
    for pattern in _LOCKS:
        yield from path.glob(pattern)


def _clean_drafts() -> int:
    """Remove tars that no hook has locked."""
    removed = 0
    for path in settings.INCOMING.glob("git-*.tar"):
        try:
            with path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                removed += _remove(path)
        except (BlockingIOError, FileNotFoundError):
            continue
    return removed


def _remove(path: Path) -> int:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
    return 1
