"""The git repositories on disk: their paths, sizes and removal."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

from portal.accounts.models import Team
from portal.apps.models import App


def path_of(app: App) -> Path:
    """Return the path of the repository, even if it does not exist yet."""
    return Path(settings.REPOSITORIES) / f"{app.pk}.git"


def remove(app: App) -> None:
    """Delete the repository, if it exists."""
    shutil.rmtree(path_of(app), ignore_errors=True)


def size_of(path: Path) -> int:
    """Return the bytes on disk of a repository, half-received packs included."""
    return sum(status.st_blocks * 512 for status in _statuses(path))


def size_of_team(team: Team) -> int:
    """Return the bytes on disk of all repositories of a team."""
    return sum(size_of(path_of(app)) for app in App.objects.filter(team=team, deleted_at=None))


def _statuses(folder: Path) -> Iterator[os.stat_result]:
    """Yield the status of every file below a folder. Files that disappear in the meantime are
    skipped."""
    try:
        entries = list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        try:
            yield entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _statuses(Path(entry.path))
