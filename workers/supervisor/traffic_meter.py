"""The meter of network traffic between apps and the outside.

It copies the kernel's counters to Redis for display, and writes to an app's log when a limit drops
its packets. The node has the exact numbers (`runtime.network.traffic`). Those in Redis may be lost
at any moment.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec
import redis

from portal.metrics.egress_totals import EgressTotals
from runtime.contract.notices import NETWORK_LIMITED
from runtime.network.floods import FloodLimits
from runtime.network.traffic import Amount, Counted, Dropped, month_of

log = logging.getLogger(__name__)
REPORT_EVERY = 3600.0  # seconds between two lines about the same limit in an app's log
_KEPT = 62 * 86400  # seconds

Say = Callable[[str, str, float], None]  # app, sentence, when


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """A limit, and the text that explains it."""

    of: Callable[[Dropped], int]
    what: str
    limit: str


class TrafficMeter:
    """The meter. Call `round` every KEEP_SERIES seconds, always from one thread.

    `count` reads the kernel's counters; `say` writes to an app's log.
    """

    def __init__(
        self,
        client: redis.Redis,
        *,
        count: Callable[[], Counted],
        say: Say,
        limits: FloodLimits | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client, self._count, self._say, self._clock = client, count, say, clock
        self._apps: Mapping[str, Amount] = {}
        self._containers: Mapping[str, Amount] = {}
        self._dropped: Mapping[str, Dropped] = {}  # container -> as of the last round
        self._reported_at: dict[
            tuple[str, str], float
        ] = {}  # app and limit -> time of the last log line
        self._unreported: dict[tuple[str, str], int] = {}  # the number dropped since then
        self._kinds = _kinds(limits or FloodLimits())
        self._has_warned = False

    def round(self) -> None:
        """Read the counters once. Without Redis the numbers are not shown; this is logged once."""
        now = self._clock()
        counted = self._count()
        self._apps, self._containers = counted.apps, counted.containers
        self._report_drops(counted, now)
        key = f"slipway:egress:{month_of(now)}"
        try:
            with self._client.pipeline(transaction=False) as pipeline:
                for team, amount in counted.teams.items():
                    total = EgressTotals(sent=amount.sent, received=amount.received)
                    pipeline.hset(key, str(team), msgspec.json.encode(total))
                pipeline.expire(key, _KEPT)
                pipeline.execute()
        except redis.RedisError as error:
            if not self._has_warned:
                log.warning(
                    "The teams' network traffic is not shown while Redis does not answer: %s", error
                )
            self._has_warned = True
        else:
            self._has_warned = False

    def by_app(self) -> Mapping[str, Amount]:
        """Return the total that each app has sent and received, as of the last round."""
        return self._apps

    def by_container(self) -> Mapping[str, Amount]:
        """Return what each container has sent and received, as of the last round."""
        return self._containers

    def _report_drops(self, counted: Counted, now: float) -> None:
        for container, dropped in counted.dropped.items():
            app, before = counted.owners[container].app, self._dropped.get(container, Dropped())
            for kind in self._kinds:
                if app and (more := kind.of(dropped.since(before))):
                    self._unreported[app, kind.what] = (
                        self._unreported.get((app, kind.what), 0) + more
                    )
        self._dropped = counted.dropped
        for kind in self._kinds:
            for app in [app for app, what in self._unreported if what == kind.what]:
                if now - self._reported_at.get((app, kind.what), -REPORT_EVERY) >= REPORT_EVERY:
                    number = self._unreported.pop((app, kind.what))
                    self._reported_at[app, kind.what] = now
                    self._say(
                        app,
                        f"{NETWORK_LIMITED}: {number} {kind.what} were dropped. {kind.limit}",
                        now,
                    )


def _kinds(limits: FloodLimits) -> tuple[_Kind, ...]:
    return (
        _Kind(
            of=lambda dropped: dropped.queries,
            what="DNS queries",
            limit=(
                f"An instance may send {limits.queries} per second, and {limits.queries_burst} at"
                " once."
            ),
        ),
        _Kind(
            of=lambda dropped: dropped.flows,
            what="new connections",
            limit=(
                f"An instance may open {limits.openings} per second and hold {limits.flows}; a team"
                f" may hold {limits.team_flows}."
            ),
        ),
        _Kind(
            of=lambda dropped: dropped.datagrams,
            what="UDP packets",
            limit=f"An instance may send {limits.datagrams} per second.",
        ),
    )
