"""The path of an app's log. The log has the output of all instances and is written by the app's
node."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings

from portal.apps.models import App
from portal.logs.logfile import LogLine, follow, tail

__all__ = ["LogLine", "follow", "path_of", "tail"]


def path_of(app: App) -> Path:
    """Return the path, even if the file does not exist yet."""
    return Path(settings.APP_LOGS) / f"{app.handle}.log"
