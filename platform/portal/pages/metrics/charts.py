"""The data of the metrics page: columns for charts, flags for releases, rows for the table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.utils import timezone

from portal.apps.models import App
from portal.metrics.series import (
    Point,
    RequestActivity,
    Span,
    grouped,
    points_of,
    request_activity_of,
)
from portal.releases.models import Rollout, RolloutState

_TABLE_STEP = {Span.HOUR: 300, Span.DAY: 3600, Span.WEEK: 6 * 3600}
_GAP = 3  # if more steps have no data, the line is interrupted
Column = list[float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of the table."""

    at: datetime
    point: Point


@dataclass(frozen=True, slots=True, kw_only=True)
class Charts:
    """All data of the metrics page."""

    span: Span
    pulse: RequestActivity | None
    points: Sequence[Point]
    rows: Sequence[Row]  # newest first
    flags: Sequence[tuple[float, str]]  # Unix seconds, and a name such as "v12"

    @property
    def columns(self) -> str:
        """Return the columns as JSON for charts.js: `at`, and one column per line. None interrupts
        the line."""
        points = _with_gaps(self.points, self.span.step)
        columns: dict[str, object] = {"at": [round(at, 1) for at, _ in points]}
        for kind in ("2xx", "3xx", "4xx", "5xx"):
            columns[kind] = [
                None if point is None else _short(point.rate_of(kind)) for _, point in points
            ]
        for name, divisor in (
            ("p50", 1),
            ("p95", 1),
            ("p99", 1),
            ("cpu", 1000),
            ("memory", 1),
            ("memory_limit", 1),
        ):
            columns[name] = _column(points, name, divisor)
        return json.dumps(
            columns | {"flags": self.flags, "span": self.span.seconds}, separators=(",", ":")
        )


def charts_of(app: App, span: Span) -> Charts:
    """Read the current data."""
    points = points_of(app.name, span)
    rows = [
        Row(at=datetime.fromtimestamp(point.at, UTC), point=point)
        for point in reversed(grouped(points, _TABLE_STEP[span]))
    ]
    return Charts(
        span=span,
        pulse=request_activity_of([app.name]).get(app.name),
        points=points,
        rows=rows,
        flags=_flags(app, span),
    )


def _flags(app: App, span: Span) -> list[tuple[float, str]]:
    since = timezone.now() - timedelta(seconds=span.seconds)
    rollouts = Rollout.objects.filter(
        release__app=app, state=RolloutState.LIVE, finished_at__gte=since
    ).order_by("finished_at")
    found = rollouts.values_list("finished_at", "release__number")
    return [(round(at.timestamp(), 1), f"v{number}") for at, number in found if at is not None]


def _with_gaps(points: Sequence[Point], step: int) -> list[tuple[float, Point | None]]:
    found: list[tuple[float, Point | None]] = []
    for point in points:
        if found and point.at - found[-1][0] > _GAP * step:
            found.append((found[-1][0] + step, None))
        found.append((point.at, point))
    return found


def _column(points: Sequence[tuple[float, Point | None]], name: str, divisor: int) -> Column:
    values = [None if point is None else getattr(point, name) for _, point in points]
    return [None if value is None else _short(value / divisor) for value in values]


def _short(value: float) -> float:
    """Round to four digits. A chart cannot show more, and the page stays small."""
    return float(f"{value:.4g}")
