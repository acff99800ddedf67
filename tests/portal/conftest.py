"""Fixtures for the portal's tests: a private Redis, people with teams, a listening portal, and fake
workers."""

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
from django.conf import settings

from portal.accounts.models import Person, Team
from portal.apps.models import App
from portal.lifecycle.account_actions import create_person, create_team, create_token
from portal.lifecycle.app_actions import create_app
from runtime.containers.cgroups.cgroup import Cgroups
from runtime.containers.cgroups.delegation import delegate
from runtime.containers.cgroups.version import open_cgroups
from runtime.kernel import Kernel
from tests.portal.shipyard import FakeWorkers

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "ten green bottles"  # of people who exist only in a test


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """An admin, two separate teams, and a member of each."""

    admin: Person
    owner: Person
    stranger: Person
    blue: Team  # the owner's team
    red: Team  # the stranger's team

    def app(self, name: str = "hello") -> App:
        """Create an app in the owner's team."""
        return create_app(self.owner, team=self.blue, name=name)

    def token(self, person: Person) -> str:
        """Create a token of a person."""
        return create_token(person, label="test")[1]


def make_people() -> People:
    admin = create_person(None, username="keeper", password=PASSWORD, admin=True)
    owner = create_person(admin, username="owner", password=PASSWORD)
    stranger = create_person(admin, username="stranger", password=PASSWORD)
    return People(
        admin=admin,
        owner=owner,
        stranger=stranger,
        blue=create_team(owner, name="blue"),
        red=create_team(stranger, name="red"),
    )


@pytest.fixture
def people(db: None, broker: redis.Redis) -> People:
    """Create people and teams in a transaction that is rolled back."""
    return make_people()


# Names that tests of other folders still use.
Crew, make_crew, crew = People, make_people, people


@pytest.fixture
def committed_people(transactional_db: None, broker: redis.Redis) -> People:
    """Create people and teams that are committed, for tests with several processes or threads."""
    for path in settings.BUILD_LOGS.glob("*.log"):
        path.unlink()  # of rows that were rolled back: their ids are used again
    return make_people()


@pytest.fixture(scope="session")
def portal_groups() -> Iterator[Cgroups]:
    """Create control groups for the programs of listening portals, as `make up` does. Remove them
    after the run."""
    cgroups = open_cgroups(settings.CGROUP.partition("/")[0], Kernel())
    cgroups.prepare()
    delegate(cgroups, os.getuid(), os.getgid())
    yield cgroups
    cgroups.remove_all()


@contextlib.contextmanager
def listening_portal(*wrapper: str) -> Iterator[str]:
    """Run the portal as in production, but without the router and gunicorn. It ends after its open
    responses.

    `wrapper` is a command that runs it, such as unshare(1).
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # so that pages show all parts
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "portal.settings",
        "SLIPWAY_HTTPS_PORT": "8443",
    }
    command = (
        *wrapper,
        sys.executable,
        "-m",
        "uvicorn",
        "portal.asgi:application",
        "--port",
        str(port),
        "--lifespan",
        "off",
        "--log-level",
        "warning",
    )
    server = subprocess.Popen(command, cwd=ROOT, env=environment)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait(lambda: _answers(url), "The portal did not come up")
        yield url
        server.terminate()
        server.wait(10)
    finally:
        server.kill()  # has no effect if it has ended
        server.wait()


@pytest.fixture(scope="session")
def portal_url(redis_server: str, django_db_setup: None, portal_groups: Cgroups) -> Iterator[str]:
    """Run a listening portal for all tests that need it."""
    with listening_portal() as url:
        yield url


@pytest.fixture
def fake_workers(committed_people: People) -> Iterator[FakeWorkers]:
    """Run fake workers in a thread, controlled by the test."""
    with FakeWorkers() as workers:
        yield workers


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(f"{url}/api/openapi.json", timeout=5)
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def _wait(ready: Callable[[], bool], complaint: str) -> None:
    deadline = time.monotonic() + 60  # it loads all views first, which is slow on a busy machine
    while not ready():
        assert time.monotonic() < deadline, complaint
        time.sleep(0.05)


def bearer(token: str, **headers: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", **headers}
