"""An app's log: what all its instances printed, in one file named after it, written by its node."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings

from portal.activity.logfile import LogLine, follow, tail
from portal.apps.models import App

__all__ = ["LogLine", "follow", "path_of", "tail"]


def path_of(app: App) -> Path:
    """Where it is, or will be."""
    return Path(settings.APP_LOGS) / f"{app.name}.log"
