"""How long a build may still take. While it is frozen its time stands still, within reason: a build must end some day."""

from __future__ import annotations

import time
from collections.abc import Callable

FROZEN_MOST = 1800.0  # seconds in all that do not count


class Allowance:
    """Begins to count when it is made. What happens to it is said in `log`."""

    def __init__(self, seconds: float, log: Callable[[str], None], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._log = clock, log
        self._deadline = clock() + seconds
        self._frozen_at: float | None = None
        self._credit = FROZEN_MOST

    def left(self) -> float:
        """Seconds; 0 when it is used up."""
        standing = min(self._clock() - self._frozen_at, self._credit) if self._frozen_at is not None else 0.0
        return max(self._deadline + standing - self._clock(), 0.0)

    def is_over(self) -> bool:
        return self.left() <= 0

    def freeze(self, frozen: bool) -> None:  # what a container says of itself
        """The build was frozen, or goes on."""
        if frozen and self._frozen_at is None:
            self._frozen_at = self._clock()
            self._log("This machine is short of memory: the build is frozen until there is more. Apps go first.")
        elif not frozen and self._frozen_at is not None:
            stood = self._clock() - self._frozen_at
            self._frozen_at = None
            self._deadline += min(stood, self._credit)
            self._credit = max(self._credit - stood, 0.0)
            self._log(f"There is memory again: the build goes on after {stood:.0f} s.")
