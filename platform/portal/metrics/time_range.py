"""The time range of charts, and the levels of stored points."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

FINE, COARSE, HOUR = 10, 300, 3600  # seconds between the stored points of each level
# Level -> how many seconds back it has points, finest first.
LEVELS = {"fine": 2 * 3600, "coarse": 7 * 86400, "hours": 31 * 86400}
RESOLUTIONS = {"fine": FINE, "coarse": COARSE, "hours": HOUR}
_STEPS = (10, 30, 60, 300, 900, 1800, 3600, 7200, 14400)
_MOST_POINTS = 361  # drawn, so that the page stays small
LONGEST = 30 * 86400  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeRange:
    """A time in Unix seconds, seen at `now`. `begin` is before `end`."""

    begin: float
    end: float
    now: float

    @property
    def seconds(self) -> float:
        return self.end - self.begin

    @property
    def level(self) -> str:
        """Return the finest level that has points since the begin."""
        age = self.now - self.begin
        return next((name for name, kept in LEVELS.items() if age <= kept), "hours")

    @property
    def resolution(self) -> int:
        """Return the seconds between two stored points of the level."""
        return RESOLUTIONS[self.level]

    @property
    def step(self) -> int:
        """Return the seconds between two drawn points."""
        return next(
            (
                step
                for step in _STEPS
                if step >= self.resolution and self.seconds / step <= _MOST_POINTS
            ),
            _STEPS[-1],
        )


class Span(StrEnum):
    """A time range that ends now."""

    QUARTER = "15m"
    HOUR = "1h"
    SIX_HOURS = "6h"
    DAY = "24h"
    WEEK = "7d"
    MONTH = "30d"

    @property
    def seconds(self) -> int:
        return {
            Span.QUARTER: 900,
            Span.HOUR: 3600,
            Span.SIX_HOURS: 6 * 3600,
            Span.DAY: 86400,
            Span.WEEK: 7 * 86400,
            Span.MONTH: LONGEST,
        }[self]

    @property
    def words(self) -> str:
        return {
            Span.QUARTER: "15 minutes",
            Span.HOUR: "hour",
            Span.SIX_HOURS: "6 hours",
            Span.DAY: "24 hours",
            Span.WEEK: "7 days",
            Span.MONTH: "30 days",
        }[self]

    def until(self, now: float) -> TimeRange:
        """Return the range that ends at `now`."""
        return TimeRange(begin=now - self.seconds, end=now, now=now)
