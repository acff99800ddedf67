"""For tests of pages: a portal full of apps, and a browserless client that is signed in."""

from collections.abc import Callable

import pytest
import redis
from django.test import Client

from portal.accounts.models import Person
from tests.portal.pages import fleet


@pytest.fixture
def filled(db: None, broker: redis.Redis) -> None:
    """The fleet, in a transaction that is rolled back."""
    fleet.fill()


@pytest.fixture
def signed_in_as(db: None) -> Callable[[str], Client]:
    """A client of somebody who exists already."""

    def sign_in(username: str) -> Client:
        client = Client()
        client.force_login(Person.objects.get(username=username))
        return client

    return sign_in


@pytest.fixture
def member(filled: None, signed_in_as: Callable[[str], Client]) -> Client:
    """A member of team harbour, which has the apps."""
    return signed_in_as("member")


@pytest.fixture
def stranger(filled: None, signed_in_as: Callable[[str], Client]) -> Client:
    """Somebody of another team, without apps."""
    return signed_in_as("newcomer")


@pytest.fixture
def admin(filled: None, signed_in_as: Callable[[str], Client]) -> Client:
    """The admin of the box."""
    return signed_in_as("admin")
