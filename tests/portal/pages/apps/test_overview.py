"""The overview at a glance: the last hour, instances by name, domains and the next step."""

from django.test import Client

from portal.metrics.series import Point
from portal.pages.apps.glance import glance


def test_the_tiles_show_the_last_hour_and_the_present() -> None:
    points = [
        Point(at=at, seconds=10, requests=100, classes={"5xx": 1}, p95=50.0, memory=2**20)
        for at in (100.0, 110.0)
    ]
    now = glance(points, 115.0)
    assert (now.requests, now.errors, now.error_share) == (200, 2, "1.0 %")
    assert (now.p95, now.memory) == (50.0, 2**20)
    old = glance(points, 400.0)
    assert (old.requests, old.p95, old.memory) == (200, None, 0)


def test_the_overview_names_its_instances_domains_and_next_steps(member: Client) -> None:
    page = member.get("/apps/shop").content.decode()
    assert ">web.0</a>" in page
    assert ">web.1</a>" in page
    assert "www.shop.example.com" in page
    assert "Requests of the last hour" in page
    assert "Turn on autoscaling" in page
    assert "Add a domain" not in page
    assert "Set a health check" not in page
    other = member.get("/apps/docs-site").content.decode()
    assert "Add a domain" in other
    assert 'href="/apps/docs-site/settings/health"' in other
