"""The data of the metrics page: columns for charts, marks, and rows for the table."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from portal.apps.access import formation_of, instances_of
from portal.apps.models import App
from portal.metrics.parts import Part, PartsPoint, is_instance, process_of
from portal.metrics.series import (
    Point,
    RequestActivity,
    grouped,
    grouped_parts,
    parts_in,
    points_in,
    request_activity_of,
)
from portal.metrics.time_range import FINE, TimeRange
from portal.pages.metrics.marks import Mark, marks_of
from portal.pages.metrics.wanted import Wanted

_TABLE_STEPS = (60, 300, 900, 3600, 6 * 3600, 86400)
_MOST_ROWS = 31
_MOST_INSTANCES = 20  # in the choice, the newest
_GAP = 3  # if more steps have no data, the line is interrupted
_PER_SECOND = 0
# Values of a part -> their divisor in the charts.
_OWN = {
    "cpu": 1000,
    "cpu_limit": 1000,
    "memory": 1,
    "memory_limit": 1,
    "disk": 1,
    "disk_limit": 1,
    "restarts": 1,
    "egress": _PER_SECOND,
    "ingress": _PER_SECOND,
}
Line = list[float | None] | float | None  # a number instead of a list: it is the same at all times


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The values at one time. `own` has the resources of the selected part, or of the whole app.

    It is None while the part did not run.
    """

    point: Point
    own: Part | None

    @property
    def at(self) -> datetime:
        return datetime.fromtimestamp(self.point.at, UTC)

    def rate(self, count: int) -> float:
        """Return a count of the point per second."""
        return count / self.point.seconds if self.point.seconds else 0.0

    def own_value(self, name: str, divisor: int) -> float | None:
        """Return a value of the part, divided, or per second with the divisor 0."""
        if self.own is None:
            return None
        value: int = getattr(self.own, name)
        return value / divisor if divisor else self.rate(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Charts:
    """All data of the metrics page."""

    wanted: Wanted
    pulse: RequestActivity | None
    drawn: Sequence[Row]  # oldest first
    rows: Sequence[Row]  # of the table, newest first
    marks: Sequence[Mark]  # oldest first
    processes: Sequence[str]  # those that can be selected
    instances: Sequence[str]  # of the selected process type

    @property
    def newest_marks(self) -> Sequence[Mark]:
        return self.marks[::-1]

    @property
    def columns(self) -> str:
        """Return the columns as JSON for charts.js: `at`, and one column per line. None interrupts
        the line."""
        shown = self.wanted.shown
        times, rows = _with_gaps(self.drawn, shown.step)
        columns: dict[str, object] = {"at": [round(at, 1) for at in times]}
        for kind in ("2xx", "3xx", "4xx", "5xx"):
            columns[kind] = _line(rows, lambda row: row.point.rate_of(kind))  # noqa: B023  # at once
        for name in ("p50", "p95", "p99"):
            columns[name] = _line(rows, lambda row: getattr(row.point, name))  # noqa: B023
        for name in ("received", "sent"):
            columns[name] = _line(rows, lambda row: row.rate(getattr(row.point, name)))  # noqa: B023
        for name, divisor in _OWN.items():
            columns[name] = _line(rows, lambda row: row.own_value(name, divisor))  # noqa: B023
        flags = [[round(mark.at.timestamp(), 1), mark.label, mark.url] for mark in self.marks]
        return json.dumps(
            columns
            | {
                "flags": flags,
                "span": round(shown.seconds),
                "step": shown.step,
                "end": 0 if self.wanted.span else round(shown.end, 1),
            },
            separators=(",", ":"),
        )


def charts_of(app: App, wanted: Wanted) -> Charts:
    """Read the current data."""
    points = points_in(app.handle, wanted.shown)
    parts = parts_in(app.handle, wanted.shown) if wanted.part else []
    own = [point.only(wanted.part) for point in parts]
    if (step := wanted.shown.step) != FINE:
        own = grouped_parts(own, step)
    table = _table_step(wanted.shown)
    processes = list(dict.fromkeys(row.process for row in formation_of(app)))
    if wanted.process and wanted.process not in processes:
        processes.append(wanted.process)
    return Charts(
        wanted=wanted,
        pulse=request_activity_of([app.handle]).get(app.handle),
        drawn=_rows(points, own, wanted.part, step),
        rows=_rows(grouped(points, table), grouped_parts(own, table), wanted.part, table)[::-1],
        marks=marks_of(app, wanted.shown),
        processes=processes,
        instances=_instances(app, parts, wanted) if wanted.part else (),
    )


def _instances(app: App, parts: Sequence[PartsPoint], wanted: Wanted) -> list[str]:
    """Return the names of the process type's instances: those that run, and then those of the
    range, newest first."""
    running = [
        f"{instance.process}.{instance.id.rpartition('-')[2]}" for instance in instances_of(app)
    ]
    names = dict.fromkeys([*running, *(name for point in reversed(parts) for name in point.parts)])
    found = [name for name in names if is_instance(name) and process_of(name) == wanted.process][
        :_MOST_INSTANCES
    ]
    if is_instance(wanted.part) and wanted.part not in found:
        found.append(wanted.part)
    return found


def _table_step(shown: TimeRange) -> int:
    return next(
        (step for step in _TABLE_STEPS if shown.seconds / step < _MOST_ROWS), _TABLE_STEPS[-1]
    )


def _rows(points: Sequence[Point], parts: Sequence[PartsPoint], part: str, step: int) -> list[Row]:
    if not part:
        return [Row(point=point, own=_whole(point)) for point in points]
    by_time: Mapping[float, PartsPoint] = {_key(point, step): point for point in parts}
    return [
        Row(point=point, own=found.part(part) if found is not None else None)
        for point in points
        for found in (by_time.get(_key(point, step)),)
    ]


def _key(point: Point | PartsPoint, step: int) -> float:
    """Return what a point of the app and that of its parts have in common."""
    return point.at if step == FINE else (point.at - point.seconds / 2) // step


def _whole(point: Point) -> Part:
    return Part(
        cpu=point.cpu,
        cpu_limit=point.cpu_limit,
        memory=point.memory,
        memory_limit=point.memory_limit,
        disk=point.disk,
        disk_limit=point.disk_limit,
        egress=point.egress,
        ingress=point.ingress,
        restarts=point.restarts,
    )


def _with_gaps(rows: Sequence[Row], step: int) -> tuple[list[float], list[Row | None]]:
    times: list[float] = []
    found: list[Row | None] = []
    for row in rows:
        if times and row.point.at - times[-1] > _GAP * step:
            times.append(times[-1] + step)
            found.append(None)
        times.append(row.point.at)
        found.append(row)
    return times, found


def _line(rows: Sequence[Row | None], value: Callable[[Row], float | None]) -> Line:
    """Return a value of each row, rounded to four digits, because a chart cannot show more.

    A constant line is one number.
    """
    values = [None if row is None else value(row) for row in rows]
    short = [None if number is None else _rounded(number) for number in values]
    return short[0] if short and all(number == short[0] for number in short) else short


def _rounded(number: float) -> float:
    short = float(f"{number:.4g}")
    return int(short) if short.is_integer() else short
