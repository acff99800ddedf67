"""Traffic and memory of an app's last hour, for the tiles of its overview."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from portal.metrics.series import FRESH_SECONDS, Point, points_of
from portal.metrics.time_range import Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Glance:
    """The last hour, with one value per point for each line, oldest first.

    `p95` is in milliseconds, None without requests now. Memory is in bytes, 0 if no instance runs.
    """

    requests: int
    errors: int  # responses with a 5xx status
    p95: float | None
    memory: int
    memory_limit: int
    request_line: Sequence[float]
    error_line: Sequence[float]
    p95_line: Sequence[float]
    memory_line: Sequence[float]

    @property
    def error_share(self) -> str:
        """Return the share of errors in words, such as "0.4 %"."""
        if not self.requests:
            return "–"
        percent = 100 * self.errors / self.requests
        return f"{percent:.0f} %" if percent >= 10 or not percent else f"{max(percent, 0.1):.1f} %"


def glance_of(app_name: str, now: float) -> Glance | None:
    """Return the last hour before `now` (Unix time), or None if there are no data."""
    points = points_of(app_name, Span.HOUR, now=now)
    return glance(points, now) if points else None


def glance(points: Sequence[Point], now: float) -> Glance:
    """Summarize the points of an hour."""
    last = points[-1]
    is_fresh = last.at > now - FRESH_SECONDS
    return Glance(
        requests=sum(point.requests for point in points),
        errors=sum(point.errors for point in points),
        p95=last.p95 if is_fresh else None,
        memory=last.memory if is_fresh else 0,
        memory_limit=last.memory_limit if is_fresh else 0,
        request_line=[point.rate for point in points],
        error_line=[point.rate_of("5xx") for point in points],
        p95_line=[point.p95 or 0.0 for point in points],
        memory_line=[float(point.memory) for point in points],
    )
