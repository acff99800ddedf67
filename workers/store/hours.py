"""The hourly points of apps, which the charts of a month show.

They are made from the points of five minutes in Redis, so that a restart of the supervisor loses
nothing. An app has a point for each full hour in which it had one of five minutes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec
import redis

from portal.metrics.parts import PartsPoint
from portal.metrics.series import Point, grouped, grouped_parts
from portal.metrics.time_range import HOUR

HOURS_KEPT = 744  # points: 31 days
_HOURS_EXPIRY = 32 * 86400
_READ = 30  # points of five minutes: two hours and a half
_AT_ONCE = 500  # apps in one pipeline
_BEGIN, _END = "slipway:series:", ":coarse"
_P = TypeVar("_P", bound=Point | PartsPoint)
_POINT, _PARTS = msgspec.json.Decoder(Point), msgspec.json.Decoder(PartsPoint)


def fold_hours(client: redis.Redis, now: float) -> None:
    """Write the points of the full hours that have none yet. Raise RedisError."""
    keys = client.scan_iter(f"{_BEGIN}*{_END}", count=1000)
    apps = [
        (key.decode() if isinstance(key, bytes) else key).removeprefix(_BEGIN).removesuffix(_END)
        for key in keys
    ]
    for first in range(0, len(apps), _AT_ONCE):
        some = apps[first : first + _AT_ONCE]
        with client.pipeline(transaction=False) as pipeline:
            for app in some:
                for kind in ("", ":parts"):
                    pipeline.lindex(f"{_BEGIN}{app}:hours{kind}", -1)
                    pipeline.lrange(f"{_BEGIN}{app}:coarse{kind}", -_READ, -1)
            found = pipeline.execute()
        for number, app in enumerate(some):
            last, texts, last_parts, parts_texts = found[4 * number : 4 * number + 4]
            points = grouped(_unfolded([_POINT.decode(text) for text in texts], last, now), HOUR)
            parts = grouped_parts(
                _unfolded([_PARTS.decode(text) for text in parts_texts], last_parts, now), HOUR
            )
            if points or parts:
                _write(client, app, points, parts)


class _Moment(msgspec.Struct, frozen=True):
    at: float
    seconds: float


def _unfolded(points: Sequence[_P], last: str | None, now: float) -> list[_P]:
    """Return the points of full hours after the last hourly point."""
    begin = _middle(msgspec.json.decode(last, type=_Moment)) // HOUR + 1 if last else 0
    end = now // HOUR
    return [point for point in points if begin <= _middle(point) // HOUR < end]


def _middle(point: Point | PartsPoint | _Moment) -> float:
    return point.at - point.seconds / 2


def _write(
    client: redis.Redis, app: str, points: Sequence[Point], parts: Sequence[PartsPoint]
) -> None:
    """Append the points, unless the app was deleted meanwhile: its name may become another
    team's."""
    with client.pipeline() as pipeline:
        pipeline.watch(f"{_BEGIN}{app}{_END}")  # type: ignore[no-untyped-call]  # of redis-py
        if not pipeline.exists(f"{_BEGIN}{app}{_END}"):
            return
        pipeline.multi()
        for key, some in (
            (f"{_BEGIN}{app}:hours", points),
            (f"{_BEGIN}{app}:hours:parts", parts),
        ):
            if some:
                pipeline.rpush(key, *(msgspec.json.encode(point) for point in some))
                pipeline.ltrim(key, -HOURS_KEPT, -1)
                pipeline.expire(key, _HOURS_EXPIRY)
        try:
            pipeline.execute()
        except redis.WatchError:
            return  # changed meanwhile: the next hour writes this one too
