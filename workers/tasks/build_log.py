"""The log of one build. Each line is written at once, so that people can follow it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from runtime.logs import logfile
from runtime.masking import Mask

# Bytes. Nobody reads further, and a program that prints endlessly must not fill the disk.
MOST = 16 * 2**20


class BuildLog:
    """A log file in our log line format. Secrets that `mask` knows are hidden.

    A build that runs again continues in the same file. The first line opens the file, and it stays
    open until `close`: a build may print a million lines.
    """

    def __init__(
        self, path: Path, *, user: str, most: int = MOST, mask: Mask | None = None
    ) -> None:
        self._path, self._user, self._left = path, user, most
        self._kept, self._dropped = most, 0
        self._mask = mask or Mask(())
        self._fd: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. A later line opens it again."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def say(self, text: str) -> None:
        """Write a line of the platform.

        If output was dropped before, first write how many lines.
        """
        if self._dropped:
            kept = f"a build's log keeps {self._kept // 2**20} MiB of output"
            self._write(
                "slipway",
                "system",
                f"{self._dropped} lines of output were dropped here, because {kept}.",
            )
            self._dropped = 0
        self._write("slipway", "system", text)

    def output(self, text: str) -> None:
        """Write a line of the build's programs. Beyond the limit, the line is only counted."""
        if self._left <= 0:
            self._dropped += 1
            return
        self._left -= self._write("build", "stdout", text)
        if self._left <= 0:
            self.say(
                "The build prints more output than its log keeps: the rest of its output is left"
                " out."
            )

    def _write(self, source: str, stream: str, text: str) -> int:
        stamp = logfile.timestamp(time.time())
        lines = [
            logfile.line(stamp, source, stream, part)
            for part in self._mask(text).splitlines() or [""]
        ]
        if self._fd is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._fd = logfile.open_to_append(self._path, user=self._user)
        logfile.write_whole(self._fd, lines)
        return sum(map(len, lines))
