"""Headless Chromium before a portal that really listens, filled with apps in every state. No node behind it."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client
from playwright.sync_api import Browser, BrowserContext

from portal.accounts.models import Person
from tests.portal.conftest import portal_groups, portal_url  # noqa: F401  # fixtures of the portal's own tests
from tests.portal.pages import fleet

# Playwright keeps an event loop in this thread, for which Django would refuse the tests' own look at the database.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def filled(transactional_db: None, broker: object, portal_url: str) -> str:  # noqa: F811  # pytest's way to ask for a fixture
    """The address of a portal with the fleet in it, really committed."""
    fleet.fill()
    return portal_url


@pytest.fixture
def browse(chromium: Browser, filled: str) -> Iterator[Callable[..., BrowserContext]]:
    """A signed-in browser of some width and colour scheme."""
    contexts = []

    def sign_in(username: str = "member", *, width: int = 1440, scheme: str = "light", scripts: bool = True) -> BrowserContext:
        context = chromium.new_context(
            base_url=filled, viewport={"width": width, "height": 844}, color_scheme=scheme, java_script_enabled=scripts
        )
        contexts.append(context)
        if username:
            client = Client()
            client.force_login(Person.objects.get(username=username))
            session = client.cookies[settings.SESSION_COOKIE_NAME].value
            context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": filled}])
        return context

    yield sign_in
    for context in contexts:
        context.close()
