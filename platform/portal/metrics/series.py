"""Read an app's time series, which the supervisor writes to Redis (`workers/store/series.py`).
Empty while Redis is not available."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec
import redis

from portal.events import client
from portal.metrics.parts import Part, PartsPoint, merged
from portal.metrics.time_range import FINE, LEVELS, RESOLUTIONS, Span, TimeRange

log = logging.getLogger(__name__)
KINDS = ("", ":parts")  # ends of the keys: points of the app, and of its parts
FRESH_SECONDS = 30.0  # an older point does not describe the present
_PULSE_POINTS = 60  # ten minutes


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
    cpu_limit: int = 0
    disk: int = 0
    disk_limit: int = 0
    restarts: int = 0  # instances that crashed or failed their health check

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


_P = TypeVar("_P", bound=Point | PartsPoint)
_POINT = msgspec.json.Decoder(Point)  # ignores fields of a later version
_PARTS = msgspec.json.Decoder(PartsPoint)


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
    """Return the points of a range that ends now, oldest first."""
    return points_in(app_name, span.until(time.time() if now is None else now))


def points_in(app_name: str, shown: TimeRange) -> list[Point]:
    """Return the points of a range, oldest first, grouped to its step."""
    found = _read(f"slipway:series:{app_name}:%s", shown, _POINT)
    return found if shown.step == FINE else grouped(found, shown.step)


def parts_in(app_name: str, shown: TimeRange) -> list[PartsPoint]:
    """Return the stored points of the app's process types and instances in a range, oldest
    first."""
    return _read(f"slipway:series:{app_name}:%s:parts", shown, _PARTS)


def request_activity_of(
    app_names: Iterable[str], *, now: float | None = None
) -> dict[str, RequestActivity]:
    """Return the pulses of those apps that had data in the last ten minutes."""
    names = list(app_names)
    moment = time.time() if now is None else now
    pulses = {}
    for name, points in zip(
        names,
        _lists([f"slipway:series:{name}:fine" for name in names], -_PULSE_POINTS, _POINT),
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

    Counts are added. Latency, memory, disk and open requests are the maximum, CPU is the mean.
    """
    return [_together(some) for some in _groups(points, seconds)]


def grouped_parts(points: Sequence[PartsPoint], seconds: int) -> list[PartsPoint]:
    """Group the points of parts in the same way."""
    found = []
    for some in _groups(points, seconds):
        parts: dict[str, list[Part]] = {}
        for point in some:
            for name, part in point.parts.items():
                parts.setdefault(name, []).append(part)
        found.append(
            PartsPoint(
                at=some[-1].at,
                seconds=sum(point.seconds for point in some),
                parts={name: merged(values) for name, values in parts.items()},
            )
        )
    return found


def _groups(points: Sequence[_P], seconds: int) -> list[list[_P]]:
    groups: dict[int, list[_P]] = {}
    for point in points:
        groups.setdefault(int(_middle(point) // seconds), []).append(point)
    return list(groups.values())


def _read(key: str, shown: TimeRange, decoder: msgspec.json.Decoder[_P]) -> list[_P]:
    """Read the levels of a range, coarsest first, and join them.

    A finer level fills the minutes after the last point of the coarser. It also fills the time
    before its first point, if the coarser level is younger than the app.
    """
    names = list(LEVELS)
    joined: list[_P] = []
    begin, end = math.inf, shown.begin  # of the joined points
    for level in reversed(names[: names.index(shown.level) + 1]):
        step = RESOLUTIONS[level]
        since = end if begin <= shown.begin + step else shown.begin
        count = math.ceil((shown.now - since) / step) + 2
        (points,) = _lists([key % level], -count, decoder)
        before = [point for point in points if _middle(point) < begin]
        after = [point for point in points if _middle(point) >= max(begin, end)]
        joined = [*before, *joined, *after]
        if joined:
            # A point covers a full step of the clock, even if the supervisor did not run all of it.
            begin = min(begin, _middle(joined[0]) // step * step)
            end = joined[-1].at
    return [point for point in joined if shown.begin < point.at <= shown.end]


def _middle(point: Point | PartsPoint) -> float:
    return point.at - point.seconds / 2


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
        cpu_limit=max(point.cpu_limit for point in points),
        disk=max(point.disk for point in points),
        disk_limit=max(point.disk_limit for point in points),
        restarts=sum(point.restarts for point in points),
    )


def _worst(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _lists(
    keys: Sequence[str],
    start: int,
    decoder: msgspec.json.Decoder[_P],
) -> list[list[_P]]:
    try:
        with client().pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.lrange(key, start, -1)
            return [[decoder.decode(text) for text in texts] for texts in pipeline.execute()]
    except redis.RedisError as error:
        log.warning("No data for charts, because Redis did not answer: %s", error)
        return [[] for _ in keys]
