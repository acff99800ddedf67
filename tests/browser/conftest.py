"""Headless Chromium with a listening portal that has sample apps in every state. There is no
node."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client
from playwright.sync_api import Browser, BrowserContext

from portal.accounts.models import Person
from portal.apps.models import App

# Fixtures of the portal's tests
from tests.portal.conftest import portal_groups, portal_url  # noqa: F401
from tests.portal.pages import fleet, fleet_volumes

# Playwright runs an event loop in this thread, so Django would refuse database access of the tests.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
SLOWEST_PAGE = 90_000  # milliseconds: the other lane may start a whole platform meanwhile
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def sample_portal(transactional_db: None, broker: object, portal_url: str) -> str:  # noqa: F811
    """Create the sample portal with committed rows. Return its URL."""
    fleet.fill()
    fleet_volumes.fill(App.objects.get(name="shop"))
    return portal_url


@pytest.fixture
def browse(chromium: Browser, sample_portal: str) -> Iterator[Callable[..., BrowserContext]]:
    """Return a function that opens a signed-in browser with a width and a colour scheme."""
    contexts = []

    def sign_in(
        username: str = "member",
        *,
        width: int = 1440,
        scheme: str = "light",
        scripts: bool = True,
        zone: str = "UTC",
    ) -> BrowserContext:
        context = chromium.new_context(
            base_url=sample_portal,
            viewport={"width": width, "height": 844},
            color_scheme=scheme,
            java_script_enabled=scripts,
            timezone_id=zone,
        )
        context.set_default_navigation_timeout(SLOWEST_PAGE)
        contexts.append(context)
        if username:
            client = Client()
            client.force_login(Person.objects.get(username=username))
            session = client.cookies[settings.SESSION_COOKIE_NAME].value
            context.add_cookies(
                [{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": sample_portal}]
            )
        return context

    yield sign_in
    for context in contexts:
        context.close()
