"""A container watched in the foreground: its lines as they come, and its end, by itself or by us."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from runtime.containers import identity
from runtime.containers.folder import Folder, Made
from runtime.containers.logs import ConsoleReader

_LOOK = 0.02  # seconds between two looks at a log that is followed
_LOOK_AT_FREEZER = 0.2


@dataclass(slots=True, kw_only=True)
class Following:
    """One container that was just started."""

    folder: Folder
    end: Callable[[Folder, Made], None]
    is_frozen: Callable[[], bool]
    on_freeze: Callable[[bool], None]
    _frozen: bool = False
    _looked: float = 0.0

    def until_over(self, on_output: Callable[[str, str], None], timeout: float, cancelled: Callable[[], bool]) -> None:
        """Give each line to `on_output(stream, text)`; end the container after `timeout` seconds, or when it is cancelled."""
        made, reader, deadline = self.folder.made(), ConsoleReader(self.folder.console), time.monotonic() + timeout
        assert made is not None  # it was just created
        over = came = ours = False
        while not over or (came and not ours):  # what it printed before we ended it may be more than anyone waits for
            over = over or identity.wait(made.monitor, made.monitor_started, 0 if came else _LOOK)
            came = False
            for line in reader.lines():
                came = True
                on_output(line.stream, line.text)
            self._look_at_freezer()
            because = f"It ran for more than {timeout:g} s and was stopped." if time.monotonic() > deadline else ""
            if not over and (because or cancelled()):
                self.folder.write_reason(because or "It was cancelled.")
                self.end(self.folder, made)
                ours = True
        for line in reader.rest():
            on_output(line.stream, line.text)
        if self._frozen:
            self.on_freeze(False)

    def _look_at_freezer(self) -> None:
        now = time.monotonic()
        if now - self._looked < _LOOK_AT_FREEZER:
            return
        self._looked = now
        if (frozen := self.is_frozen()) != self._frozen:
            self._frozen = frozen
            self.on_freeze(frozen)
