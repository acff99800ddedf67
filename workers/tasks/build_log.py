"""One build's log, written while it is watched: each line reaches the file as it is said."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from runtime.logs import logfile
from runtime.masking import Mask

MOST = 16 * 2**20  # bytes; nobody reads further, and a program that prints without end must not fill the disk


class BuildLog:
    """Appends in the one log line format, without what `mask` knows. A build that is taken up again goes on in the same file.

    The file is opened by the first line and stays open until `close`: a build may print a million lines.
    """

    def __init__(self, path: Path, *, user: str, most: int = MOST, mask: Mask | None = None) -> None:
        self._path, self._user, self._left = path, user, most
        self._kept, self._dropped = most, 0
        self._mask = mask or Mask(())
        self._fd: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; a line that comes later opens it again."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def say(self, text: str) -> None:
        """A line of ours, after one that says how much of the build's output was dropped since the last."""
        if self._dropped:
            kept = f"a build's log keeps {self._kept // 2**20} MiB of output"
            self._write("slipway", "system", f"{self._dropped} lines of output were dropped here, because {kept}.")
            self._dropped = 0
        self._write("slipway", "system", text)

    def output(self, text: str) -> None:
        """A line of the build's own programs; beyond the most that is kept, it is only counted."""
        if self._left <= 0:
            self._dropped += 1
            return
        self._left -= self._write("build", "stdout", text)
        if self._left <= 0:
            self.say("It prints more than is kept: the rest of the build's own words is left out.")

    def _write(self, source: str, stream: str, text: str) -> int:
        stamp = logfile.timestamp(time.time())
        lines = [logfile.line(stamp, source, stream, part) for part in self._mask(text).splitlines() or [""]]
        if self._fd is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._fd = logfile.open_to_append(self._path, user=self._user)
        logfile.write_whole(self._fd, lines)
        return sum(map(len, lines))
