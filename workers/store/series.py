"""Time series of each app for the portal's charts, and each app's counts for Prometheus.

The points are in Redis lists of bounded length. `slipway:series:APP:fine` holds a point every ten
seconds for two hours. `…:coarse` holds one every five minutes for a week, and `…:hours` one per
hour for a month. `…:fine:parts` and so on hold the points of process types and instances.
`slipway:metrics` is a hash of app -> counts (`portal/metrics/exposition.py`). The portal makes the
text of those that the client may see. All of it may be lost at any moment, and nothing depends on
it.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec
import redis

from portal.metrics.exposition import KEY, ROUTER, AppCounts, NetworkBytes, RequestCounts
from portal.metrics.parts import PartsPoint
from portal.metrics.series import KINDS, Point
from portal.metrics.time_range import HOUR, LEVELS
from runtime.network.traffic import Amount
from runtime.router.access_log.metrics import Tally
from runtime.router.config.render import PORTAL
from workers.schedules import KEEP_SERIES
from workers.store.hours import fold_hours
from workers.store.part_series import PartSeries, Restarts, Samples
from workers.store.usage import AppUsage, UsageWindow

log = logging.getLogger(__name__)
FINE_KEPT = 720  # points: two hours at ten seconds
COARSE_KEPT = 2016  # points: a week at five minutes
COARSE = 300  # seconds
_CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx")  # shown even if no request had such a status
# Seconds after an app's last point; longer than the charts show points.
_FINE_EXPIRY, _COARSE_EXPIRY = 3 * 3600, 8 * 86400
_COUNTS_EXPIRY = 60  # without a supervisor, no numbers are better than old ones


@dataclass(slots=True, kw_only=True)
class _Window:
    """The current five minutes of one app."""

    base: Tally
    since: float
    usage: UsageWindow = field(default_factory=UsageWindow)
    in_flight: int = 0  # the maximum
    outside: Amount  # the app's total network traffic before this window
    restarts: int  # before this window


class Series:
    """The writer of points and counts.

    Call `round` every KEEP_SERIES seconds, always from one thread.

    If Redis does not accept a point, its numbers become part of the next point. `tallies` returns
    copies of tallies that differ from the given counts, and None for apps that are gone.
    `in_flight` and `usage` return the current values by app, `samples` those of instances.
    `outside` returns the apps' total network traffic. `restarts` returns the restarts since its
    last call. `refused` returns the connections refused since the router's worker started.
    """

    def __init__(
        self,
        client: redis.Redis,
        *,
        tallies: Callable[[Mapping[str, int]], Mapping[str, Tally | None]],
        in_flight: Callable[[], Mapping[str, int]],
        usage: Callable[[], Mapping[str, AppUsage]],
        outside: Callable[[], Mapping[str, Amount]],
        refused: Callable[[], int],
        samples: Callable[[], Samples] = dict,
        restarts: Callable[[], Restarts] = dict,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client, self._tallies, self._in_flight, self._usage, self._clock = (
            client,
            tallies,
            in_flight,
            usage,
            clock,
        )
        self._refused, self._outside, self._restarts = refused, outside, restarts
        self._parts = PartSeries(samples)
        self._restarted: dict[str, int] = {}  # app -> restarts since this process started
        self._restarts_written: dict[str, int] = {}  # as of the last point
        self._folded_hours_at: float | None = None
        self._now: dict[str, Tally] = {}  # as last read
        self._written: dict[str, Tally] = {}  # as of the last point
        self._at = clock() - KEEP_SERIES
        self._busy: set[str] = set()  # apps whose last point was not all zero
        self._windows: dict[str, _Window] = {}
        # App -> number of requests, of open requests, and traffic in its written counts.
        self._in_counts: dict[str, tuple[int, int, Amount]] = {}
        self._exchanged: Mapping[str, Amount] = {}  # network traffic as of the last point
        self._began = False
        self._has_warned = False

    def round(self) -> None:
        """Read all numbers once, and write them in one pipeline.

        An unavailable Redis is logged once, and the next round tries again.
        """
        now = self._clock()
        self._look()
        in_flight, usage, outside = self._in_flight(), self._usage(), self._outside()
        restarts = self._restarts()
        for app, instances in restarts.items():
            self._restarted[app] = self._restarted.get(app, 0) + sum(instances.values())
        parts = self._parts.round(restarts, at=now, seconds=now - self._at)
        exchanged = {
            app: amount.since(self._exchanged.get(app, amount)) for app, amount in outside.items()
        }
        points: dict[str, Point] = {}
        busy: set[str] = set()
        active = {app for app, amount in exchanged.items() if amount != Amount()}
        active |= {
            app for app, count in self._restarted.items() if count != self._written_restarts(app)
        }
        for app in (self._moved() | in_flight.keys() | usage.keys() | active | self._busy) - {
            "",
            PORTAL,
        }:
            tally, used, open_now = (
                self._now.get(app, Tally()),
                usage.get(app, AppUsage()),
                in_flight.get(app, 0),
            )
            did = _since(tally, self._written.get(app))
            sent = exchanged.get(app, Amount())
            restarted = self._restarted.get(app, 0) - self._written_restarts(app)
            points[app] = _point(
                did,
                used,
                open_now,
                sent,
                restarted,
                at=now,
                seconds=now - self._at,
            )
            if did.requests or open_now or used != AppUsage() or sent != Amount() or restarted:
                busy.add(app)
            before = self._exchanged.get(app, outside.get(app, Amount()))
            window = self._windows.setdefault(
                app,
                _Window(
                    base=self._written.get(app, Tally()),
                    since=self._at,
                    outside=before,
                    restarts=self._written_restarts(app),
                ),
            )
            window.usage.add(used)
            window.in_flight = max(window.in_flight, open_now)
        is_full = now // COARSE != self._at // COARSE
        folded = self._folded(now, outside) if is_full else {}
        folded_parts = self._parts.folded(at=now) if is_full else {}
        counts = {**self._counts(in_flight, outside), ROUTER: AppCounts(refused=self._refused())}
        if self._write(points, folded, parts, folded_parts, counts):
            self._written.update({app: self._now[app] for app in self._moved()})
            self._at, self._busy, self._exchanged = now, busy, dict(outside)
            self._restarts_written = dict(self._restarted)
            if is_full:
                self._windows.clear()
                self._parts.start_window()
            self._fold_hours(now)

    def _written_restarts(self, app: str) -> int:
        return self._restarts_written.get(app, 0)

    def _fold_hours(self, now: float) -> None:
        """Write the hourly points at the start and after each hour. A failure is tried again."""
        if self._folded_hours_at is not None and self._folded_hours_at // HOUR == now // HOUR:
            return
        try:
            fold_hours(self._client, now)
        except redis.RedisError as error:
            log.warning("The hourly points of charts are written later: %s", error)
        else:
            self._folded_hours_at = now

    def _look(self) -> None:
        for app, tally in self._tallies(
            {app: tally.requests for app, tally in self._now.items()}
        ).items():
            if tally is not None:
                self._now[app] = tally
                continue
            for known in (
                self._now,
                self._written,
                self._windows,
                self._in_counts,
                self._restarted,
                self._restarts_written,
            ):
                known.pop(app, None)
            self._parts.forget(app)
            self._busy.discard(app)

    def _moved(self) -> set[str]:
        return {
            app
            for app, tally in self._now.items()
            if tally.requests != self._written.get(app, Tally()).requests
        }

    def _folded(self, now: float, outside: Mapping[str, Amount]) -> dict[str, Point]:
        folded = {}
        for app, window in self._windows.items():
            folded[app] = _point(
                _since(self._now.get(app, Tally()), window.base),
                window.usage.result(),
                window.in_flight,
                outside.get(app, Amount()).since(window.outside),
                self._restarted.get(app, 0) - window.restarts,
                at=now,
                seconds=now - window.since,
            )
        return folded

    def _counts(
        self, in_flight: Mapping[str, int], outside: Mapping[str, Amount]
    ) -> dict[str, AppCounts]:
        """Return the counts of apps whose counts have changed."""
        counts = {}
        for app in self._now.keys() | outside.keys():
            tally, amount = self._now.get(app), outside.get(app)
            mark = (tally.requests if tally else 0, in_flight.get(app, 0), amount or Amount())
            if self._in_counts.get(app) != mark:
                counts[app] = AppCounts(
                    requests=_request_counts(tally, mark[1]) if tally else None,
                    network=NetworkBytes(egress=amount.sent, ingress=amount.received)
                    if amount
                    else None,
                )
                self._in_counts[app] = mark
        for app in self._in_counts.keys() - self._now.keys() - outside.keys():
            del self._in_counts[app]
        return counts

    def _write(
        self,
        points: Mapping[str, Point],
        folded: Mapping[str, Point],
        parts: Mapping[str, PartsPoint],
        folded_parts: Mapping[str, PartsPoint],
        counts: Mapping[str, AppCounts],
    ) -> bool:
        try:
            with self._client.pipeline(transaction=False) as pipeline:
                if not self._began:
                    pipeline.delete(KEY)  # from an earlier supervisor
                for app, found in counts.items():
                    pipeline.hset(KEY, app, msgspec.json.encode(found))
                for name, some, kept, expiry in (
                    ("fine", points, FINE_KEPT, _FINE_EXPIRY),
                    ("fine:parts", parts, FINE_KEPT, _FINE_EXPIRY),
                    ("coarse", folded, COARSE_KEPT, _COARSE_EXPIRY),
                    ("coarse:parts", folded_parts, COARSE_KEPT, _COARSE_EXPIRY),
                ):
                    for app, point in some.items():
                        key = f"slipway:series:{app}:{name}"
                        pipeline.rpush(key, msgspec.json.encode(point))
                        pipeline.ltrim(key, -kept, -1)
                        pipeline.expire(key, expiry)
                pipeline.expire(KEY, _COUNTS_EXPIRY)
                pipeline.hlen(KEY)
                length = pipeline.execute()[-1]
        except redis.RedisError as error:
            if not self._has_warned:
                log.warning("The charts get no points while Redis does not answer: %s", error)
            self._has_warned, self._in_counts = True, {}
            return False
        if length != len(self._in_counts) + 1:  # and the router's
            self._in_counts = {}  # the hash was emptied: the next round writes all counts again
        self._began, self._has_warned = True, False
        return True


def forget(client: redis.Redis, app: str) -> None:
    """Delete the points and counts of a deleted app, because another team may use its name later.

    Without Redis they expire by themselves.
    """
    try:
        client.delete(
            *(f"slipway:series:{app}:{level}{kind}" for level in LEVELS for kind in KINDS)
        )
        client.hdel(KEY, app)
    except redis.RedisError as error:
        log.warning(
            "The points of %s remain until they expire, because Redis did not answer: %s",
            app,
            error,
        )


def _request_counts(tally: Tally, in_flight: int) -> RequestCounts:
    return RequestCounts(
        classes={kind: tally.classes[kind] for kind in _CLASSES}
        | {kind: count for kind, count in tally.classes.items() if count},
        codes=dict(sorted(tally.codes.items())),
        received=tally.received,
        sent=tally.sent,
        seconds=tally.took / 1000,
        buckets={
            "+Inf" if math.isinf(bound) else f"{bound:g}": count
            for bound, count in tally.histogram()
        },
        in_flight=in_flight,
    )


def _since(tally: Tally, before: Tally | None) -> Tally:
    """Return the difference to `before`, or the whole tally if the count restarted."""
    return (
        tally.since(before) if before is not None and before.requests <= tally.requests else tally
    )


def _point(
    did: Tally,
    used: AppUsage,
    in_flight: int,
    outside: Amount,
    restarts: int,
    *,
    at: float,
    seconds: float,
) -> Point:
    """Return the point of the requests in the `seconds` before `at`, and of the state at `at`."""
    p50, p95, p99 = (did.percentile(share) for share in (0.5, 0.95, 0.99))
    return Point(
        at=round(at, 1),
        seconds=round(seconds, 1),
        requests=did.requests,
        classes={kind: count for kind, count in did.classes.items() if count},
        p50=_rounded(p50),
        p95=_rounded(p95),
        p99=_rounded(p99),
        received=did.received,
        sent=did.sent,
        in_flight=in_flight,
        egress=outside.sent,
        ingress=outside.received,
        cpu=used.cpu,
        memory=used.memory,
        memory_limit=used.memory_limit,
        cpu_limit=used.cpu_limit,
        disk=used.disk,
        disk_limit=used.disk_limit,
        restarts=restarts,
    )


def _rounded(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else round(milliseconds, 1)
