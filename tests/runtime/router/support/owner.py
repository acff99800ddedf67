"""Fixtures: an app with a real HAProxy, for tests of the settings that an app's owner can
change.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest

from runtime.router.policy import Policy
from runtime.router.routes import AppRoutes
from tests.runtime.router.conftest import RouterUnderTest, end, router_of_its_own


@pytest.fixture(scope="module")
def shared() -> Iterator[RouterUnderTest]:
    with router_of_its_own() as under_test:
        yield under_test


class Owner:
    """One app with its host, and methods that change its routes and send requests."""

    def __init__(self, running: RouterUnderTest, name: str) -> None:
        self.running, self.name, self.host = running, name, f"{name}.test"
        self.app = running.app(f"{name}-1")
        self.routes = AppRoutes(app=name, hosts=(self.host,), endpoints=(end(self.app),))

    def set(self, **policy: object) -> None:
        self.change(policy=Policy(**policy))

    def change(self, **fields: object) -> None:
        self.routes = replace(self.routes, **fields)
        self.running.router.set(self.routes)

    def ask(self, path: str = "/", method: str = "GET", **rest: object) -> httpx.Response:
        headers = {
            "Host": self.host,
            "Accept": "text/html",
            "Connection": "close",
            **rest.pop("headers", {}),
        }
        return self.running.client.request(method, self.running.url(path), headers=headers, **rest)


NUMBERS = itertools.count()


@pytest.fixture
def owner(shared: RouterUnderTest) -> Iterator[Owner]:
    name = f"app{next(NUMBERS)}"
    app_owner = Owner(shared, name)
    app_owner.change()
    yield app_owner
    shared.router.remove(name)
