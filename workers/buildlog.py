"""One build's log, written while it is watched: each line reaches the file as it is said."""

from __future__ import annotations

import time
from pathlib import Path

from runtime.engines import logs


class BuildLog:
    """Appends in the one log line format. A build that is taken up again goes on in the same file."""

    def __init__(self, path: Path, *, user: str) -> None:
        self._path, self._user = path, user

    def say(self, text: str) -> None:
        """A line of ours."""
        self._write("slipway", "system", text)

    def output(self, text: str) -> None:
        """A line of the build's own programs."""
        self._write("build", "stdout", text)

    def _write(self, source: str, stream: str, text: str) -> None:
        stamp = logs.timestamp(time.time())
        lines = [logs.line(stamp, source, stream, part) for part in text.splitlines() or [""]]
        logs.append(self._path, lines, user=self._user)
