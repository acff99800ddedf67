"""Compute how many `web` instances an app needs from samples of its load. Pure.

Two windows use the same samples, like Knative's autoscaler: a stable window for normal decisions,
and a short window that detects a sudden rise. During a sudden rise, instances are added immediately
and none is removed. Before scaling down, the last five minutes must agree. The samples are the only
state, so each decision may be made by another process.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

STABLE, RUSH, DOWN = 60.0, 6.0, 300.0  # seconds of the three windows
RUSHING = 2.0  # how many times the target load counts as a sudden rise
FRESH = 10.0  # seconds; older samples do not describe the present
TOLERANCE = 0.1  # for latency and queue: the tolerated relative difference from the target
SLACK = 0.05  # for requests in flight and CPU: the relative excess before an instance is added
COVERED = 0.9  # the share of a window that samples must cover for a decision


class Target(StrEnum):
    """The metric that is held near a value."""

    REQUESTS = "requests"  # in flight, per instance
    CPU = "cpu"  # percent of the CPU that an instance may use
    LATENCY = "latency"  # milliseconds; 95 % of requests are faster
    QUEUE = "queue"  # requests that wait for a free instance, per instance

    @property
    def label(self) -> str:
        """Return the label for the form."""
        return {
            Target.REQUESTS: "Requests in flight, per instance",
            Target.CPU: "CPU, percent of an instance's share",
            Target.LATENCY: "Latency in milliseconds (95th percentile)",
            Target.QUEUE: "Requests waiting, per instance",
        }[self]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The measurements of an app over about two seconds."""

    at: float  # Unix time
    ready: int  # web instances that receive requests
    in_flight: float  # requests of all instances together
    waiting: float  # how many of these wait for a free instance
    cpu: float  # millicores of all instances together
    p95: float | None  # milliseconds; None without requests


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingBounds:
    """The autoscaling settings of an app."""

    target: Target
    value: int
    least: int
    most: int
    cpu: int  # millicores that one instance may use


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The number of instances, with a reason if it differs from the current number."""

    count: int
    reason: str = ""


def decide(samples: Sequence[Sample], wish: ScalingBounds, now: float, count: int) -> Decision:
    """Decide the number of instances from the current `count`. `samples` are sorted by time and
    cover five minutes."""
    held = min(max(count, wish.least), wish.most)
    if held != count:
        return Decision(count=held, reason=f"the bounds are {wish.least} and {wish.most}")
    if not samples or now - samples[-1].at > FRESH or not samples[-1].ready:
        return Decision(count=count)
    stable, rush = _last(samples, now, STABLE), _last(samples, now, RUSH)
    rushes = _rushes(samples, wish, now)
    up = max(
        (
            _needed(window, wish, count)
            for window in ((stable, rush) if rushes else (stable,))
            if window
        ),
        default=count,
    )
    if up > count:
        window = rush if rushes and _needed(rush, wish, count) >= up else stable
        return _moved(window, wish, count, min(up, wish.most))
    if rushes or not _covers(samples, now, DOWN):
        return Decision(count=count)
    down = max(
        _needed(_between(samples, now - end - STABLE, now - end), wish, count)
        for end in range(0, int(DOWN), int(STABLE))
    )
    return (
        _moved(stable, wish, count, max(down, wish.least))
        if down < count
        else Decision(count=count)
    )


def _rushes(samples: Sequence[Sample], wish: ScalingBounds, now: float) -> bool:
    """Return True if at some time in the stable window, the load in a short window was twice the
    target."""
    recent = _last(samples, now, STABLE)
    windows = (_between(samples, sample.at - RUSH, sample.at) for sample in recent)
    return any(
        _load(window, wish) >= RUSHING
        for window in windows
        if _covers(window, window[-1].at, RUSH / 2)
    )


def _needed(window: Sequence[Sample], wish: ScalingBounds, count: int) -> int:
    """Return the number of instances for which the load is on target, or `count` without samples.
    Bounds are not applied."""
    if not window:
        return count
    if wish.target is Target.REQUESTS:
        return _bearing(_mean([sample.in_flight for sample in window]) / wish.value, count)
    if wish.target is Target.CPU:
        return _bearing(
            _mean([sample.cpu for sample in window]) / (wish.cpu * wish.value / 100), count
        )
    # neither is proportional to the number of instances, so these change step by step
    load = _load(window, wish)
    if load > 1 + TOLERANCE:
        return math.ceil(count * min(load, RUSHING))
    return count - 1 if load < 0.5 else count


def _bearing(exact: float, count: int) -> int:
    """Round to whole instances. A small excess adds none, because a load at the limit would add and
    remove instances forever."""
    return count if count < exact <= count * (1 + SLACK) else math.ceil(exact)


def _load(window: Sequence[Sample], wish: ScalingBounds) -> float:
    """Return the load relative to the target (1.0), for the number of instances at that time."""
    ready = max(_mean([float(sample.ready) for sample in window]), 1.0)
    match wish.target:
        case Target.REQUESTS:
            return _mean([sample.in_flight for sample in window]) / (wish.value * ready)
        case Target.CPU:
            return _mean([sample.cpu for sample in window]) / (wish.cpu * wish.value / 100 * ready)
        case Target.LATENCY:
            return _mean([sample.p95 for sample in window if sample.p95 is not None]) / wish.value
        case Target.QUEUE:
            return _mean([sample.waiting for sample in window]) / (wish.value * ready)


def _moved(window: Sequence[Sample], wish: ScalingBounds, count: int, wanted: int) -> Decision:
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
    return [sample for sample in samples if begin < sample.at <= end]


def _covers(samples: Sequence[Sample], now: float, seconds: float) -> bool:
    return bool(samples) and now - samples[0].at >= seconds * COVERED


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
