"""Tests of the hourly points of apps, and of the points of process types and instances."""

from __future__ import annotations

import pytest
import redis

from portal.metrics.parts import Part, is_instance, process_of
from portal.metrics.series import parts_in, points_in, points_of
from portal.metrics.time_range import HOUR, Span, TimeRange
from runtime.network.traffic import Amount
from tests.workers.supervisor.test_series import START, USED, Node
from workers.store import part_series, series
from workers.store.hours import HOURS_KEPT, fold_hours
from workers.store.usage import AppUsage, InstanceSample

FULL = 1_800_000_000.0  # a full hour of the clock
MONTH = Span.MONTH.until(FULL + 30 * 86400)


def sample(memory: int, *, sent: int = 0) -> InstanceSample:
    usage = AppUsage(cpu=100, cpu_limit=500, memory=memory, memory_limit=512, disk=7, disk_limit=9)
    return InstanceSample(usage=usage, outside=Amount(sent=sent, received=1))


def fine_parts(node: Node, app: str = "hello") -> list[dict[str, Part]]:
    return [dict(point.parts) for point in parts_in(app, Span.HOUR.until(node.now))]


def test_a_process_type_is_the_sum_of_its_instances(broker: redis.Redis) -> None:
    node = Node(usage={"hello": USED})
    node.samples = {"hello": {"web.1": sample(10), "web.2": sample(30), "worker.1": sample(5)}}
    node.series(broker).round()
    ((parts),) = fine_parts(node)
    assert set(parts) == {"web", "web.1", "web.2", "worker.1"}, (
        "a process type with one instance needs no entry"
    )
    assert (parts["web"].memory, parts["web"].cpu_limit, parts["web"].disk) == (40, 1000, 14)
    (point,) = parts_in("hello", Span.HOUR.until(node.now))
    assert point.part("worker") == point.part("worker.1") == parts["worker.1"]
    assert point.part("clock") is None
    assert (process_of("web.1"), is_instance("web.1"), is_instance("web")) == ("web", True, False)


def test_traffic_of_an_instance_counts_from_its_first_sample(broker: redis.Redis) -> None:
    node = Node(usage={"hello": USED})
    kept = node.series(broker)
    for sent in (1000, 1500, 1500, 40):  # the counter restarts with the rules of the firewall
        node.samples = {"hello": {"web.1": sample(1, sent=sent)}}
        kept.round()
        node.now += 10
    assert [parts["web.1"].egress for parts in fine_parts(node)] == [0, 500, 0, 40]


def test_restarts_are_in_the_points_of_the_app_the_process_type_and_the_ended_instance(
    broker: redis.Redis,
) -> None:
    node = Node(usage={"hello": USED})
    kept = node.series(broker)
    kept.round()
    node.now += 10
    node.samples = {"hello": {"web.2": sample(3)}}
    node.restarts = {"hello": {"web.1": 1}, "silent": {"worker.9": 1}}
    kept.round()
    node.now += 10
    kept.round()
    assert [point.restarts for point in points_of("hello", Span.HOUR, now=node.now)] == [0, 1, 0]
    assert [parts.get("web", Part()).restarts for parts in fine_parts(node)] == [1, 0]
    assert fine_parts(node)[0]["web.1"].restarts == 1
    assert [point.restarts for point in points_of("silent", Span.HOUR, now=node.now)] == [1, 0], (
        "an app that crashes between two samples has a point too"
    )


def test_restarts_wait_for_redis(broker: redis.Redis) -> None:
    node = Node(usage={"hello": USED}, restarts={"hello": {"web.1": 1}})
    kept = node.series(broker)
    there, kept._client = kept._client, redis.Redis(port=1, socket_connect_timeout=1)
    kept.round()
    kept._client = there
    node.now += 10
    kept.round()
    assert [point.restarts for point in points_of("hello", Span.HOUR, now=node.now)] == [1]


def test_five_minutes_have_the_mean_of_cpu_and_the_most_of_memory(broker: redis.Redis) -> None:
    node = Node(usage={"hello": USED}, now=START - 20)
    kept = node.series(broker)
    for number in range(31):
        node.samples = {"hello": {"web.1": sample(50 if number == 4 else 10, sent=number)}}
        node.restarts = {"hello": {"web.0": 1}} if number == 9 else {}
        kept.round()
        node.now += 10
    day = Span.DAY.until(node.now)
    folded = parts_in("hello", day)[1]
    assert folded.parts["web.1"] == Part(
        cpu=100, cpu_limit=500, memory=50, memory_limit=512, disk=7, disk_limit=9, egress=30
    )
    assert folded.parts["web"].restarts == 1
    (point,) = [point for point in points_in("hello", day) if point.seconds > 200]
    assert (point.restarts, point.cpu) == (1, 250)


def test_a_point_has_a_bounded_number_of_instances(broker: redis.Redis) -> None:
    node = Node(usage={"hello": USED})
    node.samples = {"hello": {f"web.{number}": sample(number) for number in range(100)}}
    node.series(broker).round()
    ((parts),) = fine_parts(node)
    assert len(parts) == part_series.MOST_INSTANCES + 1
    assert parts["web"].memory == sum(range(100))
    assert "web.99" in parts


def run_for(node: Node, kept: series.Series, seconds: float) -> None:
    end = node.now + seconds
    while node.now < end:
        node.serve("hello", 1)
        kept.round()
        node.now += 60  # less often than in reality, so that the test is short


def test_a_full_hour_becomes_one_point(broker: redis.Redis) -> None:
    node = Node(usage={"hello": USED}, samples={"hello": {"web.1": sample(10)}}, now=FULL + 20)
    run_for(node, node.series(broker), 2.2 * HOUR)
    assert broker.llen("slipway:series:hello:hours") == 2
    assert broker.llen("slipway:series:hello:hours:parts") == 2
    first, second = points_in(
        "hello", TimeRange(begin=FULL, end=FULL + 2 * HOUR + 30, now=FULL + 10 * 86400)
    )
    assert second.requests == 60
    assert (first.seconds, second.seconds) == (pytest.approx(3600, abs=120), 3600)
    assert (second.memory, second.cpu, second.memory_limit) == (100, 250, 400)
    assert broker.ttl("slipway:series:hello:hours") > 30 * 86400


def test_a_restart_of_the_supervisor_loses_no_hour(broker: redis.Redis) -> None:
    node = Node(usage={"hello": USED}, now=FULL + 20)
    run_for(node, node.series(broker), 0.9 * HOUR)
    node.tallies.clear()
    run_for(node, node.series(broker), 0.3 * HOUR)  # across the hour
    node.now += 600  # across no hour: it writes none twice
    run_for(node, node.series(broker), 0.1 * HOUR)
    assert broker.llen("slipway:series:hello:hours") == 1
    hour = points_in("hello", TimeRange(begin=FULL, end=FULL + HOUR + 30, now=FULL + 10 * 86400))
    assert 55 <= sum(point.requests for point in hour) <= 61


def test_hours_are_bounded_and_not_written_for_a_deleted_app(broker: redis.Redis) -> None:
    node = Node(usage={"hello": USED}, samples={"hello": {"web.1": sample(10)}}, now=FULL + 20)
    kept = node.series(broker)
    broker.rpush("slipway:series:hello:hours", *['{"at":0,"seconds":1}'] * HOURS_KEPT)
    run_for(node, kept, 1.2 * HOUR)
    assert broker.llen("slipway:series:hello:hours") == HOURS_KEPT
    series.forget(broker, "hello")
    fold_hours(broker, node.now + 2 * HOUR)
    assert list(broker.scan_iter("slipway:series:hello*")) == []
