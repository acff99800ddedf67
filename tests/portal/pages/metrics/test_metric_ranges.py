"""The metrics page with a time range, a process type or an instance in its address."""

import json
import re
from datetime import UTC, datetime, timedelta

import pytest
import redis
from django.test import Client

from portal.accounts.models import Person
from portal.apps.models import App
from portal.apps.sizes import Size
from portal.lifecycle import app_actions as apps
from portal.metrics.series import points_in, points_of
from portal.metrics.time_range import Span, TimeRange
from tests.portal.pages.fleet_series import MIB
from tests.portal.pages.metrics.test_metrics import columns

PATH = "/apps/shop/metrics"


def page_of(client: Client, query: str, status: int = 200) -> str:
    answer = client.get(f"{PATH}?{query}")
    assert answer.status_code == status
    return answer.content.decode()


def between(begin: timedelta, end: timedelta) -> str:
    """Return the query of a custom range, from and to so long ago."""
    now = datetime.now(UTC)
    return f"from={now - begin:%Y-%m-%dT%H:%M:%S}&to={now - end:%Y-%m-%dT%H:%M:%S}"


@pytest.mark.parametrize(
    ("span", "least", "most"),
    [("15m", 88, 91), ("1h", 299, 301), ("6h", 70, 74), ("24h", 279, 289), ("30d", 340, 361)],
)
def test_each_range_draws_its_points(member: Client, span: str, least: int, most: int) -> None:
    page = page_of(member, f"span={span}")
    assert least <= len(columns(page)["at"]) <= most
    assert re.search(rf'\?span={span}"\s+aria-current="page"', page)
    assert len(page) < 100_000


def test_a_custom_range_is_in_the_address_and_does_not_move(member: Client) -> None:
    query = between(timedelta(minutes=30), timedelta(minutes=20))
    page = page_of(member, query)
    drawn = columns(page)
    assert 58 <= len(drawn["at"]) <= 61
    begin, end = re.findall(r"=([\d\-T:]+)", query)
    assert f'name="from" value="{begin}"' in page
    assert f'name="to" value="{end}"' in page
    assert drawn["end"] == datetime.fromisoformat(f"{end}+00:00").timestamp()
    assert "sse-connect" not in page
    assert "?span=7d" in page
    long_ago = columns(page_of(member, between(timedelta(days=20), timedelta(days=18))))
    assert 46 <= len(long_ago["at"]) <= 49


def test_a_range_without_an_end_ends_now(member: Client) -> None:
    begin = datetime.now(UTC) - timedelta(minutes=5)
    assert 29 <= len(columns(page_of(member, f"from={begin:%Y-%m-%dT%H:%M:%S}"))["at"]) <= 31


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("from=yesterday&to=", "This is not a time."),
        ("from=&to=2026-01-01T00:00", "Enter the time at which the charts begin."),
        ("from=2999-01-01T00:00", "This time is in the future."),
        ("from=2020-01-01T00:00", "Data are kept for 30 days."),
        (None, "The end must be after the beginning."),
    ],
)
def test_an_invalid_range_keeps_what_was_typed_and_says_why(
    member: Client, query: str | None, problem: str
) -> None:
    query = query or between(timedelta(hours=1), timedelta(hours=2))
    page = page_of(member, query, status=422)
    assert problem in page
    typed = query.partition("from=")[2].partition("&")[0]
    assert f'name="from" value="{typed}"' in page
    assert 'aria-invalid="true"' in page


def test_a_process_type_and_an_instance_have_their_own_resources(member: Client) -> None:
    whole, web, first = (
        columns(page_of(member, query)) for query in ("", "part=web", "part=web.0")
    )
    assert web["cpu_limit"] == 1
    assert first["cpu_limit"] == 0.5
    assert first["memory_limit"] == pytest.approx(512 * MIB, rel=1e-3)
    assert web["2xx"] == first["2xx"] == whole["2xx"]
    page = page_of(member, "span=7d&part=web.0")
    assert '?span=7d&amp;part=worker"' in page, "the choice keeps the range"
    assert '?span=24h&amp;part=web.0"' in page, "the range keeps the choice"
    assert "whole app" in page
    assert '<input type="hidden" name="part" value="web.0">' in page
    for name in ("web.0", "web.1"):
        assert f"part={name}" in page
    assert "worker.0" not in page


def test_an_instance_without_data_has_no_lines(member: Client) -> None:
    page = page_of(member, "part=web.gone<b>")
    drawn = columns(page)
    assert drawn["memory"] is None
    assert len(drawn["2xx"]) == 300
    assert "<b>" not in page


def test_the_line_of_an_instance_begins_with_it(member: Client, broker: redis.Redis) -> None:
    key = "slipway:series:shop:fine:parts"
    points = [json.loads(text) for text in broker.lrange(key, 0, -1)]
    for point in points[:-20]:
        del point["parts"]["web.1"]
    broker.delete(key)
    broker.rpush(key, *(json.dumps(point) for point in points))
    memory = columns(page_of(member, "part=web.1"))["memory"]
    assert memory[:-20] == [None] * 280
    assert None not in memory[-20:]


def test_releases_and_scalings_are_marked_with_links(member: Client) -> None:
    person, app = Person.objects.get(username="member"), App.objects.get(name="shop")
    apps.scale(person, app=app, sizes={"web": Size(count=3)})
    page = page_of(member, "")
    flags = {label: url for _, label, url in columns(page)["flags"]}
    assert flags == {
        "v3": "/apps/shop/deploys#v3",
        "scaled": "/apps/shop/settings/scale",
    }
    assert "Scaled web to 3" in page
    assert "v3 went live" in page
    assert 'id="v3"' in member.get("/apps/shop/deploys").content.decode()


def test_a_month_of_an_app_without_hourly_points_shows_its_older_ones(
    member: Client, broker: redis.Redis
) -> None:
    """An earlier version stored no hourly points, and fewer values."""
    now = datetime.now(UTC).timestamp()
    broker.delete(*broker.scan_iter("slipway:series:shop:*"))
    old = {"seconds": 300, "requests": 3, "cpu": 5, "memory": 7, "memory_limit": 9}
    times = [now - 300 * number for number in range(500, 0, -1)]
    broker.rpush("slipway:series:shop:coarse", *(json.dumps({**old, "at": at}) for at in times))
    points = points_of("shop", Span.MONTH)
    assert sum(point.requests for point in points) == 1500
    assert {point.cpu_limit for point in points} == {0}
    page_of(member, "span=30d&part=web")


def test_finer_points_fill_the_time_before_and_after_the_coarser(
    member: Client, broker: redis.Redis
) -> None:
    now = 1_800_000_000.0
    broker.delete(*broker.scan_iter("slipway:series:shop:*"))
    for name, step, count, end in (
        ("hours", 3600, 10, now - 7200),
        ("coarse", 300, 200, now - 300),
        ("fine", 10, 60, now),
    ):
        broker.rpush(
            f"slipway:series:shop:{name}",
            *(
                json.dumps({"at": end - step * number, "seconds": step, "requests": step})
                for number in range(count - 1, -1, -1)
            ),
        )
    shown = TimeRange(begin=now - 30 * 86400, end=now, now=now)
    seconds = sum(point.requests for point in points_in("shop", shown))
    # 200 points of five minutes that end 5 minutes before now, and 5 minutes of fine ones
    assert seconds == 200 * 300 + 300
