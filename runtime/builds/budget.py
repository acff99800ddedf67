"""Time limit of a build.

Time in which the build is frozen does not count, up to FROZEN_MOST: a build must end at some time.
"""

from __future__ import annotations

import time
from collections.abc import Callable

FROZEN_MOST = 1800.0  # seconds in total that do not count


class Budget:
    """The time that a build has left, from the creation of this object.

    Events are written with `log`.
    """

    def __init__(self, seconds: float, log: Callable[[str], None], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._log = clock, log
        self._deadline = clock() + seconds
        self._frozen_at: float | None = None
        self._credit = FROZEN_MOST

    def left(self) -> float:
        """Return the seconds that are left; 0 when the time is used up."""
        frozen_for = min(self._clock() - self._frozen_at, self._credit) if self._frozen_at is not None else 0.0
        return max(self._deadline + frozen_for - self._clock(), 0.0)

    def is_over(self) -> bool:
        return self.left() <= 0

    def freeze(self, frozen: bool) -> None:  # called with the state that the container reports
        """Record that the build was frozen, or continues."""
        if frozen and self._frozen_at is None:
            self._frozen_at = self._clock()
            self._log("This machine is short of memory: the build is frozen until more is free. Apps have priority.")
        elif not frozen and self._frozen_at is not None:
            frozen_for = self._clock() - self._frozen_at
            self._frozen_at = None
            self._deadline += min(frozen_for, self._credit)
            self._credit = max(self._credit - frozen_for, 0.0)
            self._log(f"Memory is free again: the build continues after {frozen_for:.0f} s.")
