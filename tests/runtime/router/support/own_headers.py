"""Headers that the router sets, and the request headers that an app receives."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.runtime.router.conftest import RouterUnderTest, router_of_its_own, routes_to
from tests.runtime.router.support.recorder import Recorder, exchange

ROUTERS = {
    "x-forwarded-for": "127.0.0.1",
    "x-forwarded-proto": "http",
    "x-forwarded-host": "hello.test",
}


@pytest.fixture(scope="module")
def recorded() -> Iterator[tuple[RouterUnderTest, Recorder]]:
    with router_of_its_own() as running, Recorder() as app:
        running.router.set(routes_to(app.endpoint))
        yield running, app


def seen(recorded: tuple[RouterUnderTest, Recorder], *lines: str) -> dict[str, str]:
    """Return the headers that the app receives for a request with these header lines."""
    running, app = recorded
    app.take()
    text = "\r\n".join(["GET / HTTP/1.1", "Host: hello.test", *lines, "", ""])
    assert exchange(running.config.http_port, text.encode(), quiet=0.05).startswith(
        b"HTTP/1.1 200 "
    )
    return app.headers()
