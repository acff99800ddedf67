"""Tests of the points of apps' charts in a real Redis.

They check their number, how they are folded, and what happens while Redis is away.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
import redis

from portal.metrics.exposition import (
    KEY,
    ROUTER,
    AppCounts,
    NetworkBytes,
    RequestCounts,
    counts_of,
    text_of,
)
from portal.metrics.series import points_of, request_activity_of
from portal.metrics.time_range import Span
from runtime.contract.error_codes import Code
from runtime.network.traffic import Amount
from runtime.router.access_log.line import AccessLine
from runtime.router.access_log.metrics import Tally
from runtime.router.config.render import PORTAL
from workers.store import series
from workers.store.series import Series
from workers.store.usage import AppUsage, InstanceSample

START = 1_800_000_020.0  # 20 s after a full five minutes of the clock
USED = AppUsage(cpu=250, memory=100, memory_limit=400)


@dataclass(kw_only=True)
class Node:
    """Fake numbers of the supervisor's other tasks."""

    now: float = START
    tallies: dict[str, Tally] = field(default_factory=dict)
    in_flight: dict[str, int] = field(default_factory=dict)
    usage: dict[str, AppUsage] = field(default_factory=dict)
    outside: dict[str, Amount] = field(default_factory=dict)
    refused: int = 0
    samples: dict[str, dict[str, InstanceSample]] = field(default_factory=dict)
    restarts: dict[str, dict[str, int]] = field(default_factory=dict)

    def series(self, client: redis.Redis) -> Series:
        return Series(
            client,
            tallies=self.changed,
            in_flight=lambda: self.in_flight,
            usage=lambda: self.usage,
            outside=lambda: self.outside,
            refused=lambda: self.refused,
            samples=lambda: self.samples,
            restarts=self.taken,
            clock=lambda: self.now,
        )

    def taken(self) -> dict[str, dict[str, int]]:
        taken, self.restarts = self.restarts, {}
        return taken

    def changed(self, seen: Mapping[str, int]) -> dict[str, Tally | None]:
        gone: dict[str, Tally | None] = dict.fromkeys(seen.keys() - self.tallies.keys())
        return gone | {
            app: tally.copy()
            for app, tally in self.tallies.items()
            if tally.requests != seen.get(app)
        }

    def serve(
        self, app: str, count: int, *, status: int = 200, took: int = 20, code: Code | None = None
    ) -> None:
        tally = self.tallies.setdefault(app, Tally())
        for _ in range(count):
            tally.add(
                AccessLine(
                    at=self.now,
                    app=app,
                    status=status,
                    code=code,
                    instance="",
                    received=10,
                    sent=100,
                    took=took,
                    queued=0,
                    client="",
                    request_id="",
                    method="GET",
                    path="/",
                )
            )


def test_a_point_has_the_counts_since_the_previous_point(broker: redis.Redis) -> None:
    node = Node(in_flight={"hello": 2}, usage={"hello": USED})
    kept = node.series(broker)
    node.serve("hello", 30)
    kept.round()
    node.now += 10
    node.serve("hello", 8, took=200)
    node.serve("hello", 2, status=502, code=Code.NO_ANSWER)
    kept.round()
    first, second = points_of("hello", Span.HOUR, now=node.now)
    assert (first.requests, first.seconds, first.rate) == (30, 10, 3.0)
    assert (second.requests, second.classes, second.errors) == (10, {"2xx": 8, "5xx": 2}, 2)
    assert first.p95 is not None
    assert second.p95 is not None
    assert first.p95 <= 32
    assert second.p95 >= 128
    assert (second.received, second.sent, second.in_flight) == (100, 1000, 2)
    assert (second.cpu, second.memory, second.memory_limit) == (250, 100, 400)
    assert request_activity_of(["hello"], now=node.now)["hello"].rates == [3.0, 1.0]
    assert (
        request_activity_of(["hello"], now=node.now + 60)["hello"].rate == 0.0
    )  # an old point does not show the current rate


def test_an_app_without_new_requests_gets_one_point_of_zero(broker: redis.Redis) -> None:
    node = Node()
    kept = node.series(broker)
    node.serve("hello", 5)
    for app in ("", PORTAL):
        node.serve(app, 3)
    for _ in range(4):
        kept.round()
        node.now += 10
    assert [point.requests for point in points_of("hello", Span.HOUR, now=node.now)] == [5, 0]
    assert set(broker.scan_iter("slipway:series:*")) == {"slipway:series:hello:fine"}
    node.usage = {"hello": USED}  # it runs again, and has no requests yet
    kept.round()
    assert points_of("hello", Span.HOUR, now=node.now)[-1].memory == 100


def test_five_minutes_are_folded_exactly_and_lists_stay_bounded(
    broker: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(series, "FINE_KEPT", 20)
    node = Node(usage={"hello": USED})
    kept = node.series(broker)
    for number in range(61):
        node.serve("hello", 4 if number else 1, took=20 if number % 2 else 1000)
        kept.round()
        node.now += 10
    assert broker.llen("slipway:series:hello:fine") == 20
    assert broker.ttl("slipway:series:hello:fine") > 0
    folded = points_of("hello", Span.DAY, now=node.now)
    assert [(point.requests, point.seconds) for point in folded] == [
        (1 + 28 * 4, 290),
        (120, 300),
        (8, 20),  # the five minutes that are not full yet, from the points of ten seconds
    ]
    last = folded[-2]
    assert last.p50 is not None
    assert last.p95 is not None
    assert last.p50 <= 32
    assert last.p95 >= 512  # computed from all requests, not from ten-second percentiles
    assert (last.cpu, last.memory) == (250, 100)


def test_while_redis_is_away_one_warning_is_logged_and_no_request_is_lost(
    broker: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    node = Node()
    kept = node.series(broker)
    node.serve("hello", 5)
    kept.round()
    there, kept._client = kept._client, redis.Redis(port=1, socket_connect_timeout=1)
    with caplog.at_level(logging.WARNING, "workers.store.series"):
        for _ in range(3):
            node.now += 10
            node.serve("hello", 7)
            kept.round()
    assert len(caplog.records) == 1
    kept._client = there
    broker.flushdb()
    node.now += 10
    kept.round()
    (point,) = points_of("hello", Span.HOUR, now=node.now)
    assert (point.requests, point.seconds) == (21, 40)
    assert requests_of("hello").classes["2xx"] == 26


def requests_of(app: str) -> RequestCounts:
    requests = counts_of([app])[app].requests
    assert requests is not None
    return requests


def test_counts_for_prometheus_follow_the_requests_and_are_written_again_if_lost(
    broker: redis.Redis,
) -> None:
    node = Node(in_flight={"hello": 1})
    broker.hset(KEY, "of-the-supervisor-before", "{}")
    kept = node.series(broker)
    node.serve("hello", 2)
    node.serve("", 1)
    kept.round()
    assert set(counts_of(None)) == {"hello", "", ROUTER}
    assert 0 < broker.ttl(KEY) <= 60
    broker.delete(KEY)
    for _ in range(2):  # the first round notices the loss, the second writes the counts again
        node.now += 10
        kept.round()
    assert requests_of("hello").in_flight == 1


def test_counts_have_all_classes_the_codes_and_the_histogram(broker: redis.Redis) -> None:
    node = Node()
    kept = node.series(broker)
    node.serve("hello", 1, took=0)
    node.serve("hello", 1, took=5, status=-1, code=Code.CLIENT_LEFT)
    kept.round()
    requests = requests_of("hello")
    assert requests.classes == {"1xx": 0, "2xx": 1, "3xx": 0, "4xx": 0, "5xx": 0, "none": 1}
    assert requests.codes == {Code.CLIENT_LEFT: 1}
    assert (requests.received, requests.sent, requests.seconds) == (20, 200, 0.005)
    assert [requests.buckets[bound] for bound in ("0.001", "0.008", "1048.58", "+Inf")] == [
        1,
        2,
        2,
        2,
    ]


def test_a_damaged_count_hides_one_app_only(
    broker: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    broker.hset(KEY, mapping={"bad": '{"requests": {"sent": "many"}}', "later": '{"weather": 1}'})
    assert counts_of(None) == {"later": AppCounts()}
    assert "No metrics of bad, because its value is damaged" in caplog.text
    assert "sent" in caplog.text


def test_admins_see_the_connections_that_the_router_refused(broker: redis.Redis) -> None:
    node = Node()
    kept = node.series(broker)
    for node.refused in (0, 7):
        kept.round()
        assert text_of(counts_of(None)).endswith(
            f"\nslipway_connections_refused_total {node.refused:.1f}\n"
        )
        node.now += 10


def test_a_new_app_does_not_get_a_deleted_apps_numbers(broker: redis.Redis) -> None:
    node = Node()
    kept = node.series(broker)
    node.serve("hello", 9)
    kept.round()
    series.forget(broker, "hello")
    del node.tallies["hello"]
    node.now += 10
    kept.round()
    assert points_of("hello", Span.HOUR, now=node.now) == []
    assert set(counts_of(None)) == {ROUTER}
    node.serve("hello", 1)
    node.now += 10
    kept.round()
    assert [point.requests for point in points_of("hello", Span.HOUR, now=node.now)] == [1]
    assert json.loads(broker.lindex("slipway:series:hello:fine", 0))["classes"] == {"2xx": 1}


def test_an_apps_outgoing_traffic_is_in_its_points_and_its_text(broker: redis.Redis) -> None:
    node = Node(outside={"worker": Amount(sent=1000, received=10)})
    kept = node.series(broker)
    kept.round()
    assert points_of("worker", Span.HOUR, now=node.now) == [], (
        "traffic from before this process started is not counted"
    )
    for more in (500, 0, 70):
        node.now += 10
        node.outside["worker"] = Amount(sent=node.outside["worker"].sent + more, received=10)
        kept.round()
    assert [point.egress for point in points_of("worker", Span.HOUR, now=node.now)] == [500, 0, 70]
    assert counts_of(["worker"])["worker"].network == NetworkBytes(egress=1570, ingress=10)
    while node.now % series.COARSE > 10:
        node.now += 10
        kept.round()
    assert [point.egress for point in points_of("worker", Span.DAY, now=node.now)] == [570]
    del node.outside["worker"]
    node.now += 10
    kept.round()
    series.forget(broker, "worker")
    kept.round()
    assert "worker" not in counts_of(None)
