"""Read an app's time series, which the supervisor writes to Redis (`workers/store/series.py`).
Empty while Redis is not available."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec
import redis

from portal.events import client

log = logging.getLogger(__name__)
FRESH_SECONDS = 30.0  # an older point does not describe the present
_PULSE_POINTS = 60  # ten minutes


class Span(StrEnum):
    """The time range of a chart."""

    HOUR = "1h"
    DAY = "24h"
    WEEK = "7d"

    @property
    def seconds(self) -> int:
        return {Span.HOUR: 3600, Span.DAY: 86400, Span.WEEK: 7 * 86400}[self]

    @property
    def step(self) -> int:
        """Return the seconds between two drawn points."""
        return {Span.HOUR: 10, Span.DAY: 300, Span.WEEK: 1800}[self]

    @property
    def words(self) -> str:
        return {Span.HOUR: "hour", Span.DAY: "24 hours", Span.WEEK: "7 days"}[self]


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """The values of the `seconds` before `at` (Unix time), as the supervisor stores them.

    Latency is in milliseconds, None without requests. CPU is in millicores, sizes in bytes.
    """

    at: float
    seconds: float
    requests: int = 0
    classes: Mapping[str, int] = msgspec.field(default_factory=dict)  # "2xx" and so on
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    received: int = 0
    sent: int = 0
    in_flight: int = 0
    cpu: int = 0
    memory: int = 0
    memory_limit: int = 0
    egress: int = 0  # egress of the app itself, without responses to requests
    ingress: int = 0

    @property
    def rate(self) -> float:
        """Return the requests per second."""
        return self.requests / self.seconds if self.seconds else 0.0

    @property
    def errors(self) -> int:
        return self.classes.get("5xx", 0)

    def rate_of(self, *classes: str) -> float:
        return (
            sum(self.classes.get(kind, 0) for kind in classes) / self.seconds
            if self.seconds
            else 0.0
        )


_POINT = msgspec.json.Decoder(Point)  # ignores fields of a later version


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestActivity:
    """The last minutes of an app: current values, and earlier request rates with the oldest
    first."""

    rate: float
    p95: float | None
    rates: Sequence[float]

    @property
    def words(self) -> str:
        """Return the current rate in words. Without requests now, say if there were some."""
        if self.rate:
            digits = 0 if self.rate >= 10 else 1 if self.rate >= 1 else 2
            return f"{self.rate:.{digits}f} requests/s"
        return "no requests now" if any(self.rates) else "no requests"


def points_of(app_name: str, span: Span, *, now: float | None = None) -> list[Point]:
    """Return the points, oldest first. The points of a week are grouped by half hours."""
    name = "fine" if span is Span.HOUR else "coarse"
    since = (time.time() if now is None else now) - span.seconds
    points = [
        point for point in _lists([f"slipway:series:{app_name}:{name}"], 0)[0] if point.at > since
    ]
    return grouped(points, span.step) if span is Span.WEEK else points


def request_activity_of(
    app_names: Iterable[str], *, now: float | None = None
) -> dict[str, RequestActivity]:
    """Return the pulses of those apps that had data in the last ten minutes."""
    names = list(app_names)
    moment = time.time() if now is None else now
    pulses = {}
    for name, points in zip(
        names,
        _lists([f"slipway:series:{name}:fine" for name in names], -_PULSE_POINTS),
        strict=True,
    ):
        recent = [point for point in points if point.at > moment - 10 * _PULSE_POINTS]
        if recent:
            last = recent[-1]
            fresh = last.at > moment - FRESH_SECONDS
            pulses[name] = RequestActivity(
                rate=last.rate if fresh else 0.0,
                p95=last.p95 if fresh else None,
                rates=[point.rate for point in recent],
            )
    return pulses


def grouped(points: Sequence[Point], seconds: int) -> list[Point]:
    """Group points to fewer points, aligned to the clock.

    Counts are added. Latency, memory and open requests are the maximum, CPU is the mean.
    """
    groups: dict[int, list[Point]] = {}
    for point in points:
        groups.setdefault(int(point.at // seconds), []).append(point)
    return [_together(some) for some in groups.values()]


def _together(points: Sequence[Point]) -> Point:
    return Point(
        at=points[-1].at,
        seconds=sum(point.seconds for point in points),
        requests=sum(point.requests for point in points),
        classes={
            kind: sum(point.classes.get(kind, 0) for point in points)
            for kind in sorted({key for point in points for key in point.classes})
        },
        p50=_worst(point.p50 for point in points),
        p95=_worst(point.p95 for point in points),
        p99=_worst(point.p99 for point in points),
        received=sum(point.received for point in points),
        sent=sum(point.sent for point in points),
        in_flight=max(point.in_flight for point in points),
        cpu=round(sum(point.cpu for point in points) / len(points)),
        memory=max(point.memory for point in points),
        memory_limit=max(point.memory_limit for point in points),
        egress=sum(point.egress for point in points),
        ingress=sum(point.ingress for point in points),
    )


def _worst(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _lists(keys: Sequence[str], start: int) -> list[list[Point]]:
    try:
        with client().pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.lrange(key, start, -1)
            return [[_POINT.decode(text) for text in texts] for texts in pipeline.execute()]
    except redis.RedisError as error:
        log.warning("No data for charts, because Redis did not answer: %s", error)
        return [[] for _ in keys]
