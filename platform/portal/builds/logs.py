"""A build's log: a file named after its row id, written by the workers."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings

from portal.activity.logfile import LogLine, follow, tail
from portal.builds.models import Build

__all__ = ["LogLine", "follow", "path_of", "tail"]


def path_of(build: Build) -> Path:
    """Where it is, or will be."""
    return Path(settings.BUILD_LOGS) / f"{build.pk}.log"
