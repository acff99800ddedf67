"""The time limit of a build and its cancellation.

Time in which the build is frozen does not count, up to FROZEN_MOST: a build must end at some time.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from runtime.errors import BuildFailed, Cancelled

FROZEN_MOST = 1800.0  # seconds in total that do not count


class Budget:
    """The time that a build has left, from the creation of this object, and whether it was
    cancelled.

    Events are written with `log`.
    """

    def __init__(
        self,
        seconds: float,
        log: Callable[[str], None],
        *,
        cancelled: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock, self._log, self._cancelled = clock, log, cancelled
        self._started = clock()
        self._deadline = self._started + seconds
        self._frozen_at: float | None = None
        self._credit = FROZEN_MOST

    def left(self) -> float:
        """Return the seconds that are left; 0 when the time is used up."""
        frozen_for = (
            min(self._clock() - self._frozen_at, self._credit)
            if self._frozen_at is not None
            else 0.0
        )
        return max(self._deadline + frozen_for - self._clock(), 0.0)

    def is_over(self) -> bool:
        return self.left() <= 0

    def is_cancelled(self) -> bool:
        return self._cancelled()

    def check(
        self, over: str = "", *, hint: str = "Deploy again: finished steps are kept."
    ) -> None:
        """Raise Cancelled if the build was cancelled, or BuildFailed if its time is used up.

        `over` is the text of that BuildFailed, if it names more than the build.
        """
        if self.is_cancelled():
            raise Cancelled("The build was cancelled.")
        if self.is_over():
            minutes = (self._clock() - self._started) / 60
            raise BuildFailed(
                over
                or f"The build reached its time limit of {minutes:.0f} minutes and was stopped.",
                hint=hint,
            )

    def freeze(self, frozen: bool) -> None:  # called with the state that the container reports
        """Record that the build was frozen, or continues."""
        if frozen and self._frozen_at is None:
            self._frozen_at = self._clock()
            self._log(
                "This machine is short of memory: the build is frozen until more is free. Apps have"
                " priority."
            )
        elif not frozen and self._frozen_at is not None:
            frozen_for = self._clock() - self._frozen_at
            self._frozen_at = None
            self._deadline += min(frozen_for, self._credit)
            self._credit = max(self._credit - frozen_for, 0.0)
            self._log(f"Memory is free again: the build continues after {frozen_for:.0f} s.")
