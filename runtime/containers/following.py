"""A container that is followed in the foreground: its output lines, its timeout, its end."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from runtime.containers import identity
from runtime.containers.folder import Folder, Made
from runtime.containers.logs import ConsoleReader
from runtime.contract.quantities import Bytes

# The most output, including the time of each line. Nobody reads more, and reading it takes CPU
# time from instances that serve requests.
MOST = Bytes(128 * 2**20)
_POLL_SECONDS = 0.02  # seconds between two reads of the log
_FREEZER_CHECK_SECONDS = 0.2  # seconds between two reads of the freezer
_LINES_PER_SIZE_CHECK = 1000  # lines between two reads of the log's size


@dataclass(slots=True, kw_only=True)
class ForegroundRun:
    """A container that was just started."""

    folder: Folder
    end: Callable[[Folder, Made], None]
    is_frozen: Callable[[], bool]
    on_freeze: Callable[[bool], None]
    most: Bytes = MOST  # of output
    _frozen: bool = False
    _freezer_checked_at: float = 0.0

    def follow(
        self, on_output: Callable[[str, str], None], timeout: float, cancelled: Callable[[], bool]
    ) -> None:
        """Pass each line to `on_output(stream, text)` until the container has ended.

        End the container after `timeout` seconds, or when `cancelled()` is true.
        """
        made, reader, deadline = (
            self.folder.made(),
            ConsoleReader(self.folder.console),
            time.monotonic() + timeout,
        )
        assert made is not None  # it was just created
        has_ended = has_output = was_stopped = False
        # Output from before the platform ended the container may be too much to wait for.
        while not has_ended or (has_output and not was_stopped):
            has_ended = has_ended or identity.wait(
                made.monitor, made.monitor_started, 0 if has_output else _POLL_SECONDS
            )
            has_output = False
            too_much = False
            for number, line in enumerate(reader.lines()):
                has_output = True
                on_output(line.stream, line.text)
                if number % _LINES_PER_SIZE_CHECK == 0 and (
                    too_much := not was_stopped and self._prints_too_much()
                ):
                    break
            self._check_freezer()
            because = (
                f"It ran for more than {timeout:g} s and was stopped."
                if time.monotonic() > deadline
                else ""
            )
            because = f"It printed more than {self.most} and was stopped." if too_much else because
            if not has_ended and (because or cancelled()):
                self.folder.write_reason(because or "It was cancelled.")
                self.end(self.folder, made)
                was_stopped = True
            was_stopped = was_stopped or too_much
        for line in reader.rest():
            on_output(line.stream, line.text)
        if self._frozen:
            self.on_freeze(False)

    def _prints_too_much(self) -> bool:
        """Return whether the monitor's file is too long. It can be far ahead of the reader."""
        try:
            return self.folder.console.stat().st_size > self.most
        except FileNotFoundError:
            return False  # the monitor is starting a new file

    def _check_freezer(self) -> None:
        now = time.monotonic()
        if now - self._freezer_checked_at < _FREEZER_CHECK_SECONDS:
            return
        self._freezer_checked_at = now
        if (frozen := self.is_frozen()) != self._frozen:
            self._frozen = frozen
            self.on_freeze(frozen)
