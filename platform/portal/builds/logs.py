"""The path of a build's log. The file is named after the row id and written by the workers."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings

from portal.builds.models import Build
from portal.logs.logfile import LogLine, follow, tail

__all__ = ["LogLine", "follow", "path_of", "tail"]


def path_of(build: Build) -> Path:
    """Return the path, even if the file does not exist yet."""
    return Path(settings.BUILD_LOGS) / f"{build.pk}.log"
