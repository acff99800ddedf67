"""The metrics pages: their content, their access rules, and the Prometheus text."""

import asyncio
import json
from collections.abc import Callable
from html import unescape
from typing import Any

import msgspec
import pytest
import redis
from django.http import StreamingHttpResponse
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from portal.accounts.models import Person
from portal.lifecycle.account_actions import create_token
from portal.metrics.exposition import KEY, ROUTER, AppCounts, NetworkBytes, RequestCounts
from portal.metrics.series import grouped, points_of, request_activity_of
from portal.metrics.time_range import Span


def bearer(username: str, path: str = "/metrics") -> tuple[int, str]:
    token = create_token(Person.objects.get(username=username), label="prometheus")[1]
    answer = Client().get(path, headers={"Authorization": f"Bearer {token}"})
    return answer.status_code, answer.content.decode()


def columns(page: str) -> dict[str, Any]:
    """Return the columns. A number instead of a list is the same at all times, as for charts.js."""
    begin = page.index(">", page.index("data-columns")) + 1
    found: dict[str, Any] = json.loads(unescape(page[begin : page.index("</div>", begin)]))
    return found


def test_the_page_shows_rate_and_latency_and_the_same_data_as_a_table(member: Client) -> None:
    page = member.get("/apps/shop/metrics").content.decode()
    last = points_of("shop", Span.HOUR)[-1]
    assert f"{last.rate:.0f} requests/s, p95 {last.p95:.0f} ms" in page
    assert "v3 is live, 3 of 3 instances healthy." in page
    drawn = columns(page)
    assert len(drawn["at"]) == len(drawn["2xx"]) == len(drawn["memory"]) == 300
    assert drawn["memory_limit"] == pytest.approx(1280 * 2**20, rel=1e-3)
    assert drawn["cpu"][-1] == pytest.approx(last.cpu / 1000)
    numbers = page[page.index("Data") :]
    assert numbers.count('data-label="p99"') == len(grouped(points_of("shop", Span.HOUR), 300))


def test_a_week_is_grouped_to_half_hours_without_losing_a_request(member: Client) -> None:
    week = points_of("shop", Span.WEEK)
    assert 45 <= len(week) <= 50
    assert sum(point.requests for point in week) == sum(
        point.requests for point in points_of("shop", Span.DAY)
    )
    drawn = columns(member.get("/apps/shop/metrics?span=7d").content.decode())
    assert len(drawn["at"]) == len(week)
    assert member.get("/apps/shop/metrics?span=1y").status_code == 404


def test_a_line_is_interrupted_where_data_is_missing(member: Client, broker: redis.Redis) -> None:
    key = "slipway:series:shop:fine"
    kept = broker.lrange(key, 0, -1)
    broker.delete(key)
    broker.rpush(key, *kept[-100:-50], *kept[-40:])
    drawn = columns(member.get("/apps/shop/metrics").content.decode())
    assert drawn["2xx"].count(None) == 1
    assert len(drawn["at"]) == 91


def test_releases_are_flags_in_the_charts(member: Client) -> None:
    flags = columns(member.get("/apps/shop/metrics?span=7d").content.decode())["flags"]
    assert {label for _, label, _ in flags} >= {"v1", "v2"}


def test_an_app_without_data_shows_that(member: Client) -> None:
    page = member.get("/apps/empty-hull/metrics").content.decode()
    assert "No data yet" in page
    assert "No data in the last ten minutes" in page


def test_lists_and_overview_show_rate_latency_and_a_sparkline(member: Client) -> None:
    pulse = request_activity_of(["shop", "docs-site"])
    assert set(pulse) == {"shop"}
    for path, sparklines in (("/", 1), ("/apps/shop", 5)):  # of the header and of four tiles
        page = member.get(path).content.decode()
        assert f"{pulse['shop'].rate:.0f} requests/s, p95 {pulse['shop'].p95:.0f} ms" in page
        assert page.count('class="sparkline"') == sparklines


def test_other_teams_see_no_metrics(stranger: Client) -> None:
    assert stranger.get("/apps/shop/metrics").status_code == 404
    stream = asyncio.run(all_of(stranger.get("/apps/shop/metrics/events")))
    assert [line for line in stream.splitlines() if line.startswith("event:")] == [
        "event: gone",
        "event: complete",
    ]


async def all_of(answer: StreamingHttpResponse) -> str:
    return "".join([piece.decode() async for piece in answer])


@pytest.fixture
def prometheus_samples(sample_portal: None, broker: redis.Redis) -> None:
    """Write what the supervisor would write for apps of two teams, and for requests to no app."""
    for app, count in (("shop", 3), ("ticker", 2), ("", 1)):
        requests = RequestCounts(
            classes={"2xx": count, "5xx": 0},
            codes={"H44": count} if not app else {},
            received=10 * count,
            sent=2**40 * count,
            seconds=123456.789,
            buckets={"0.001": 0, "0.016": count, "+Inf": count},
            in_flight=count,
        )
        network = NetworkBytes(egress=7, ingress=8) if app == "shop" else None
        write(broker, app, AppCounts(requests=requests, network=network))
    write(broker, ROUTER, AppCounts(refused=4))


def write(broker: redis.Redis, app: str, counts: AppCounts) -> None:
    broker.hset(KEY, app, msgspec.json.encode(counts))


def samples_of(text: str) -> dict[tuple[str, *tuple[str, ...]], float]:
    """Parse the text as Prometheus does: the name and the values of the labels -> value."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_prometheus_gets_the_apps_of_its_token(prometheus_samples: None) -> None:
    status, text = bearer("member")
    assert status == 200
    samples = samples_of(text)
    assert samples["slipway_requests_total", "shop", "2xx"] == 3
    assert samples["slipway_requests_in_flight", "shop"] == 3
    assert "ticker" not in text
    assert 'app=""' not in text
    assert "refused" not in text
    assert bearer("newcomer") == (200, "")
    status, text = bearer("admin")
    for app, count in (("shop", 3), ("ticker", 2), ("", 1)):
        assert samples_of(text)["slipway_request_seconds_count", app] == count
    assert text.count("# TYPE slipway_requests_total counter\n") == 1
    assert text.index('slipway_requests_total{app="ticker"') < text.index(
        "# HELP slipway_received_bytes_total"
    )
    assert "ticker" not in bearer("admin", "/metrics?team=harbour")[1]
    assert bearer("newcomer", "/metrics?team=harbour")[0] == 404


def test_the_text_of_prometheus_has_each_value_with_its_name_and_type(
    prometheus_samples: None,
) -> None:
    text = bearer("admin")[1]
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert {name: family.type for name, family in families.items()} == {
        "slipway_requests": "counter",
        "slipway_answers_by_router": "counter",
        "slipway_received_bytes": "counter",
        "slipway_sent_bytes": "counter",
        "slipway_requests_in_flight": "gauge",
        "slipway_request_seconds": "histogram",
        "slipway_egress_bytes": "counter",
        "slipway_ingress_bytes": "counter",
        "slipway_connections_refused": "counter",
    }
    assert all(family.documentation for family in families.values())
    samples = samples_of(text)
    assert samples["slipway_answers_by_router_total", "", "H44"] == 1
    assert samples["slipway_received_bytes_total", "ticker"] == 20
    assert samples["slipway_sent_bytes_total", "shop"] == 3 * 2**40
    assert samples["slipway_request_seconds_sum", "shop"] == 123456.789
    assert samples["slipway_request_seconds_bucket", "shop", "0.016"] == 3
    assert samples["slipway_request_seconds_bucket", "shop", "+Inf"] == 3
    assert samples["slipway_egress_bytes_total", "shop"] == 7
    assert samples["slipway_ingress_bytes_total", "shop"] == 8
    assert ("slipway_egress_bytes_total", "ticker") not in samples
    assert samples["slipway_connections_refused_total",] == 4
    assert {"app", "status"} == set(families["slipway_requests"].samples[0].labels)


def test_prometheus_without_a_token_gets_nothing(
    prometheus_samples: None, signed_in_as: Callable[[str], Client]
) -> None:
    assert Client().get("/metrics").status_code == 401
    assert signed_in_as("admin").get("/metrics").status_code == 401
    assert (
        Client().get("/metrics", headers={"Authorization": "Bearer slip_nothing"}).status_code
        == 401
    )


def test_pages_work_if_redis_has_data_of_a_later_version(
    member: Client, broker: redis.Redis
) -> None:
    broker.rpush(
        "slipway:series:docs-site:fine", json.dumps({"at": 0, "seconds": 10, "weather": "fair"})
    )
    assert member.get("/apps/docs-site/metrics").status_code == 200
