"""Fixtures for tests of pages: a portal with sample apps, and signed-in clients."""

from collections.abc import Callable

import pytest
import redis
from django.test import Client

from portal.accounts.models import Person
from tests.portal.pages import fleet


@pytest.fixture
def sample_portal(db: None, broker: redis.Redis) -> None:
    """Create the sample portal in a transaction that is rolled back."""
    fleet.fill()


@pytest.fixture
def signed_in_as(db: None) -> Callable[[str], Client]:
    """Return a function that creates a client of an existing person."""

    def sign_in(username: str) -> Client:
        client = Client()
        client.force_login(Person.objects.get(username=username))
        return client

    return sign_in


@pytest.fixture
def member(sample_portal: None, signed_in_as: Callable[[str], Client]) -> Client:
    """A client of a member of team harbour, which owns the apps."""
    return signed_in_as("member")


@pytest.fixture
def stranger(sample_portal: None, signed_in_as: Callable[[str], Client]) -> Client:
    """A client of a member of another team without apps."""
    return signed_in_as("newcomer")


@pytest.fixture
def admin(sample_portal: None, signed_in_as: Callable[[str], Client]) -> Client:
    """A client of an admin."""
    return signed_in_as("admin")
