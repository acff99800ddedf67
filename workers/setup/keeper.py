"""A supervisord that survives failed writes to its logs.

On a full disk, log lines are lost, but neither a process nor supervisord itself ends. The original
log handler raises an error when it cannot write a line. Or it prints the error to a file on the
same disk, which raises the next error.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from supervisor import loggers, supervisord


class LineDroppingLog(loggers.RotatingFileHandler):  # type: ignore[misc]  # supervisor has no types
    """A log handler that drops a line it cannot write, and continues with the next one."""

    stream: Any

    def emit(self, record: Any) -> None:
        try:
            super().emit(record)
        except (OSError, ValueError):  # the rotation failed; ValueError: after it closed the file
            self.handleError()

    def handleError(self) -> None:  # noqa: N802  # supervisor's name
        """Open the file again: the old file's buffered text would fail again with every line."""
        with suppress(OSError, ValueError):
            self.stream.close()
        with suppress(OSError):
            self.stream = open(self.baseFilename, "ab")  # noqa: SIM115, PTH123  # as supervisor does; it stays open
            self.closed = False


def main() -> None:
    """Run supervisord with this log handler. `make up` starts this."""
    loggers.RotatingFileHandler = LineDroppingLog
    supervisord.main()


if __name__ == "__main__":
    main()
