"""How many instances of `web` an app needs, from what was measured of it. Pure.

Two windows look at the same samples, in the manner of Knative's autoscaler: a stable one that decides as a rule, and a short one
that notices a rush. In a rush instances are added at once and none is taken away. Going down waits until the last five minutes
agree. All that is remembered is the samples, so whoever decides may be another process each time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

STABLE, RUSH, DOWN = 60.0, 6.0, 300.0  # seconds of the three windows
RUSHING = 2.0  # times what the instances are to bear
FRESH = 10.0  # seconds; older samples say nothing about now
TOLERANCE = 0.1  # of latency and queue: so close to the target is on target
SLACK = 0.05  # of requests in flight and CPU beyond the target, before an instance is added
COVERED = 0.9  # of a window, to go by it


class Target(StrEnum):
    """What is held near a value."""

    REQUESTS = "requests"  # in flight, an instance
    CPU = "cpu"  # percent of what an instance may use
    LATENCY = "latency"  # milliseconds that 95 % of requests stay below
    QUEUE = "queue"  # requests that wait for an instance to be free, an instance

    @property
    def label(self) -> str:
        """In a list to choose from."""
        return {
            Target.REQUESTS: "Requests in flight, per instance",
            Target.CPU: "CPU, percent of an instance's share",
            Target.LATENCY: "Milliseconds for 95 % of requests",
            Target.QUEUE: "Requests waiting, per instance",
        }[self]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What was measured of one app over two seconds or so."""

    at: float  # unix seconds
    ready: int  # web instances that take requests
    in_flight: float  # requests, all instances together
    waiting: float  # of these, for an instance to be free
    cpu: float  # millicores, all instances together
    p95: float | None  # milliseconds; None without requests


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """An app's settings."""

    target: Target
    value: int
    least: int
    most: int
    cpu: int  # millicores that one instance may use


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """How many there should be; a reason where that is not what there is."""

    count: int
    reason: str = ""


def decide(samples: Sequence[Sample], wish: Wish, now: float, count: int) -> Decision:
    """What to scale to from `count`. `samples` are in order of time, of the last five minutes."""
    held = min(max(count, wish.least), wish.most)
    if held != count:
        return Decision(count=held, reason=f"between {wish.least} and {wish.most} are wanted")
    if not samples or now - samples[-1].at > FRESH or not samples[-1].ready:
        return Decision(count=count)
    stable, rush = _last(samples, now, STABLE), _last(samples, now, RUSH)
    rushes = _rushes(samples, wish, now)
    up = max((_needed(window, wish, count) for window in ((stable, rush) if rushes else (stable,)) if window), default=count)
    if up > count:
        window = rush if rushes and _needed(rush, wish, count) >= up else stable
        return _moved(window, wish, count, min(up, wish.most))
    if rushes or not _covers(samples, now, DOWN):
        return Decision(count=count)
    down = max(_needed(_between(samples, now - end - STABLE, now - end), wish, count) for end in range(0, int(DOWN), int(STABLE)))
    return _moved(stable, wish, count, max(down, wish.least)) if down < count else Decision(count=count)


def _rushes(samples: Sequence[Sample], wish: Wish, now: float) -> bool:
    """At some moment of the stable window, the short one had twice what its instances are to bear."""
    recent = _last(samples, now, STABLE)
    windows = (_between(samples, one.at - RUSH, one.at) for one in recent)
    return any(_load(window, wish) >= RUSHING for window in windows if _covers(window, window[-1].at, RUSH / 2))


def _needed(window: Sequence[Sample], wish: Wish, count: int) -> int:
    """Instances on which the load would be on target; `count` where nothing was measured. Not yet held between the bounds."""
    if not window:
        return count
    if wish.target is Target.REQUESTS:
        return _bearing(_mean([one.in_flight for one in window]) / wish.value, count)
    if wish.target is Target.CPU:
        return _bearing(_mean([one.cpu for one in window]) / (wish.cpu * wish.value / 100), count)
    load = _load(window, wish)  # neither is in proportion to the number of instances, so these go step by step
    if load > 1 + TOLERANCE:
        return math.ceil(count * min(load, RUSHING))
    return count - 1 if load < 0.5 else count


def _bearing(exact: float, count: int) -> int:
    """Whole instances; those that there are bear a little more before one is added, or a load on the brink would add and take for ever."""
    return count if count < exact <= count * (1 + SLACK) else math.ceil(exact)


def _load(window: Sequence[Sample], wish: Wish) -> float:
    """1.0 is on target, by the instances that there were."""
    ready = max(_mean([float(one.ready) for one in window]), 1.0)
    match wish.target:
        case Target.REQUESTS:
            return _mean([one.in_flight for one in window]) / (wish.value * ready)
        case Target.CPU:
            return _mean([one.cpu for one in window]) / (wish.cpu * wish.value / 100 * ready)
        case Target.LATENCY:
            return _mean([one.p95 for one in window if one.p95 is not None]) / wish.value
        case Target.QUEUE:
            return _mean([one.waiting for one in window]) / (wish.value * ready)


def _moved(window: Sequence[Sample], wish: Wish, count: int, wanted: int) -> Decision:
    if wanted == count:
        return Decision(count=count)
    load = _load(window, wish) * wish.value
    text = {
        Target.REQUESTS: f"{load:.3g} requests in flight per instance, target {wish.value}",
        Target.CPU: f"{load:.3g} % of its CPU in use per instance, target {wish.value} %",
        Target.LATENCY: f"95 % of requests take up to {load:.3g} ms, target {wish.value} ms",
        Target.QUEUE: f"{load:.3g} requests waiting per instance, target {wish.value}",
    }[wish.target]
    return Decision(count=wanted, reason=text)


def _last(samples: Sequence[Sample], now: float, seconds: float) -> Sequence[Sample]:
    return _between(samples, now - seconds, now)


def _between(samples: Sequence[Sample], begin: float, end: float) -> Sequence[Sample]:
    return [one for one in samples if begin < one.at <= end]


def _covers(samples: Sequence[Sample], now: float, seconds: float) -> bool:
    return bool(samples) and now - samples[0].at >= seconds * COVERED


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
