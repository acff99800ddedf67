"""supervisord with logs that may fail: a full disk costs lines of logs, and ends neither a process nor supervisord itself.

Its own logs raise an error where a line cannot be written, or print it to a file on the same disk, which raises the next one.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from supervisor import loggers, supervisord


class ForgivingLog(loggers.RotatingFileHandler):  # type: ignore[misc]  # supervisor has no types
    """Drops a line that cannot be written, and goes on with the next one."""

    stream: Any

    def emit(self, record: Any) -> None:
        try:
            super().emit(record)
        except (OSError, ValueError):  # it could not be rotated; ValueError: the file was closed for that
            self.handleError()

    def handleError(self) -> None:  # noqa: N802  # supervisor's name
        """Open the file anew: what the old one still holds back would fail again with every line."""
        with suppress(OSError, ValueError):
            self.stream.close()
        with suppress(OSError):
            self.stream = open(self.baseFilename, "ab")  # noqa: SIM115, PTH123  # as supervisor does; it stays open
            self.closed = False


def main() -> None:
    """What `make up` starts."""
    loggers.RotatingFileHandler = ForgivingLog
    supervisord.main()


if __name__ == "__main__":
    main()
