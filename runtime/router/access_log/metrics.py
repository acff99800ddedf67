"""Metrics from the access log, by app and instance: counters and a latency histogram. Pure.

The counters only increase. No clock, no I/O.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from runtime.router.access_log.line import AccessLine

OCTAVES = 22  # the last one holds requests of over half an hour
FINE = 8  # buckets per octave (2**n to 2**(n+1) ms); each is an eighth of the octave's start wide
BUCKETS = (OCTAVES - 1) * FINE + 1


@dataclass(slots=True, kw_only=True)
class Tally:
    """Counters of one app or of one of its instances."""

    # `2xx` and so on; `none` without an answer
    classes: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    received: int = 0
    sent: int = 0
    took: int = 0  # total milliseconds, without tunnels
    queued: int = 0  # total milliseconds of waiting for a free instance
    latency: list[int] = field(default_factory=lambda: [0] * BUCKETS)
    last_at: float = 0.0  # unix seconds; decides when the app falls asleep

    def add(self, line: AccessLine) -> None:
        self.classes[f"{line.status // 100}xx" if 100 <= line.status < 600 else "none"] += 1
        if line.code:
            self.codes[line.code] += 1
        self.received += max(line.received, 0)
        self.sent += max(line.sent, 0)
        self.queued += max(line.queued, 0)
        self.last_at = max(self.last_at, line.at)
        if not line.tunnel and line.took >= 0:
            self.took += line.took
            self.latency[bucket_of(line.took)] += 1

    @property
    def requests(self) -> int:
        return self.classes.total()

    def percentile(self, share: float) -> float | None:
        """Return the latency in milliseconds below which this share (0 to 1) of requests is.

        Interpolate within a bucket. Return None without requests.
        """
        total = sum(self.latency)
        if not total:
            return None
        wanted, below = share * total, 0
        for bucket, count in enumerate(self.latency):
            if count and below + count >= wanted:
                low, high = begin_of(bucket), begin_of(bucket + 1)
                return low + (high - low) * (wanted - below) / count
            below += count
        return begin_of(BUCKETS - 1)

    def histogram(self) -> list[tuple[float, int]]:
        """Return upper bounds in seconds, and the requests below each. The last is infinite."""
        return [
            (math.ldexp(1, octave) / 1000, sum(self.latency[: octave * FINE + 1]))
            for octave in range(OCTAVES - 1)
        ] + [(math.inf, sum(self.latency))]

    def since(self, earlier: Tally) -> Tally:
        """Return the difference from `earlier`, a copy of the same app's tally."""
        return Tally(
            classes=self.classes - earlier.classes,
            codes=self.codes - earlier.codes,
            received=self.received - earlier.received,
            sent=self.sent - earlier.sent,
            took=self.took - earlier.took,
            queued=self.queued - earlier.queued,
            latency=[
                now - before for now, before in zip(self.latency, earlier.latency, strict=True)
            ],
            last_at=self.last_at,
        )

    def copy(self) -> Tally:
        return Tally().plus(self)

    def plus(self, other: Tally) -> Tally:
        return Tally(
            classes=self.classes + other.classes,
            codes=self.codes + other.codes,
            received=self.received + other.received,
            sent=self.sent + other.sent,
            took=self.took + other.took,
            queued=self.queued + other.queued,
            latency=[
                ours + theirs for ours, theirs in zip(self.latency, other.latency, strict=True)
            ],
            last_at=max(self.last_at, other.last_at),
        )


@dataclass(slots=True, kw_only=True)
class Metrics:
    """Metrics of all apps. An instance's tally remains until `forget_instances` or `forget`."""

    apps: dict[str, Tally] = field(default_factory=dict)
    instances: dict[str, dict[str, Tally]] = field(default_factory=dict)

    def add(self, line: AccessLine) -> None:
        self.apps.setdefault(line.app, Tally()).add(line)
        if line.instance and line.app:
            self.instances.setdefault(line.app, {}).setdefault(line.instance, Tally()).add(line)

    def of(self, app: str, instances: Iterable[str]) -> Tally:
        """Return the sum over some instances of an app, such as all of one release."""
        found, whole = self.instances.get(app, {}), Tally()
        for instance in instances:
            if instance in found:
                whole = whole.plus(found[instance])
        return whole

    def forget_instances(self, app: str, living: Iterable[str]) -> None:
        kept = set(living)
        found = self.instances.get(app, {})
        for gone in [instance for instance in found if instance not in kept]:
            del found[gone]

    def forget(self, app: str) -> None:
        self.apps.pop(app, None)
        self.instances.pop(app, None)


def bucket_of(milliseconds: int) -> int:
    """Return the bucket of a latency. Bucket 0 is below one millisecond; see `begin_of`."""
    if milliseconds < 1:
        return 0
    octave = milliseconds.bit_length() - 1
    return min(
        octave * FINE + (milliseconds - (1 << octave)) * FINE // (1 << octave) + 1, BUCKETS - 1
    )


def begin_of(bucket: int) -> float:
    """Return the lower bound of a bucket in milliseconds."""
    if bucket == 0:
        return 0.0
    octave, part = divmod(bucket - 1, FINE)
    return math.ldexp(1 + part / FINE, octave)
