"""Certificates for the names of this Slipway: which names need one, and what pages show."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import LazySettings
from django.test import Client
from django.utils import timezone

from portal.domains import platform_certificates
from portal.lifecycle.app_actions import create_app, delete_app
from tests.portal.conftest import People


@pytest.fixture
def public(settings: LazySettings) -> LazySettings:
    settings.HTTPS_OURSELVES, settings.HTTPS_PORT = True, 443
    settings.PORTAL_HOST, settings.BASE_DOMAIN = "slipway.example.com", "apps.example.com"
    return settings


def page(people: People, address: str) -> str:
    client = Client()
    client.force_login(people.admin)
    return client.get(address, HTTP_HOST="localhost").content.decode()


def test_the_portal_and_each_app_have_one_or_all_apps_a_wildcard(
    people: People, public: LazySettings
) -> None:
    app = people.app()
    create_app(people.owner, team=app.team, name="second")
    assert platform_certificates.hosts() == [
        "slipway.example.com",
        "hello.apps.example.com",
        "second.apps.example.com",
    ]
    delete_app(people.owner, app=app, typed_name="hello")
    assert platform_certificates.hosts() == ["slipway.example.com", "second.apps.example.com"]
    public.ACME_DNS_HOOK = "/usr/local/bin/dns"
    assert platform_certificates.hosts() == ["slipway.example.com", "*.apps.example.com"]
    public.PORTAL_HOST = "192.0.2.7"
    assert platform_certificates.hosts() == ["*.apps.example.com"], "no address has a certificate"
    public.BASE_DOMAIN = "slipway.localhost"
    assert platform_certificates.hosts() == []
    public.BASE_DOMAIN, public.HTTPS_OURSELVES = "apps.example.com", False
    assert platform_certificates.hosts() == [], "the proxy in front of us has them"


def test_the_pages_show_the_state_of_each(people: People, public: LazySettings) -> None:
    people.app()
    assert "A certificate is being ordered." in page(people, "/apps/hello/settings/domains")
    now = timezone.now()
    platform_certificates.mark_refused(
        "hello.apps.example.com", "The authority could not see it.", now=now
    )
    platform_certificates.mark_served(
        "slipway.example.com",
        issuer="Test Root",
        names=["slipway.example.com"],
        not_after=now + timedelta(days=90),
        renew_at=now + timedelta(days=60),
    )
    text = page(people, "/apps/hello/settings/domains")
    assert "No certificate yet." in text
    assert "The authority could not see it." in text
    text = page(people, "/admin")
    assert text.index("hello.apps.example.com") < text.index("slipway.example.com"), (
        "trouble comes first"
    )
    assert "from Test Root" in text
    public.HTTPS_OURSELVES = False
    assert "certificate is" not in page(people, "/apps/hello/settings/domains")
    assert "Test Root" not in page(people, "/admin")


def test_a_refused_order_waits_longer_each_time_and_as_long_as_the_authority_says(
    people: People, public: LazySettings
) -> None:
    now, waits = timezone.now(), []
    for after in (0, 0, 7200):
        platform_certificates.mark_refused("slipway.example.com", "No.", now=now, after=after)
        row = platform_certificates.rows()["slipway.example.com"]
        assert row is not None
        assert row.next_try_at is not None
        waits.append(row.next_try_at - now)
    assert waits == [timedelta(minutes=5), timedelta(minutes=10), timedelta(hours=2)]
