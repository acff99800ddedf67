"""Tests that provoke each code with a real HAProxy.

They check the page in both forms, and the line in the access log.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from ipaddress import ip_network

import pytest

from runtime.contract.code_explanations import EXPLAINED
from runtime.contract.error_codes import Code
from runtime.router.policy import BasicAuth, Policy, RequestLimits
from runtime.router.routes import AppSituation, Endpoint
from tests.runtime.router.conftest import (
    Crowd,
    RouterUnderTest,
    check_page,
    router_of_its_own,
    wait_for,
)
from tests.runtime.router.support.owner import Owner, owner
from tests.runtime.router.test_accesslog import collecting

__all__ = ["owner"]


@pytest.fixture(scope="module")
def shared() -> Iterator[RouterUnderTest]:
    with router_of_its_own(queue_seconds=1) as under_test:
        yield under_test


@pytest.fixture(scope="module")
def counted(shared: RouterUnderTest) -> Iterator[Callable[[Code], int]]:
    """Return a function that counts the access log lines with a code."""
    with collecting(shared, []) as collector:
        yield lambda code: sum(app.codes[code] for app in collector.metrics.apps.copy().values())


@dataclass(frozen=True, kw_only=True)
class Provocation:
    """The state of the app, the load at that time, and the request that provokes a code."""

    routes: dict[str, object] = field(default_factory=dict)
    policy: dict[str, object] = field(default_factory=dict)
    crowd: int = 0  # other requests that are already open
    prepare: Callable[[Owner], None] = lambda _: None
    path: str = "/"
    method: str = "GET"
    headers: dict[str, str] = field(default_factory=dict)
    content: Callable[[], object] = lambda: None
    seen_as: Code | None = None  # the code on the page, if the log can be more precise


def in_situation(situation: AppSituation) -> Provocation:
    return Provocation(routes={"situation": situation, "endpoints": ()}, policy={"hold_seconds": 1})


def behind_the_routers_back(owner: Owner) -> None:
    """Set a page that the router would refuse.

    An answer with this page does not fit into HAProxy's buffer.
    """
    page = owner.running.router._store.maps.custom
    for half in ("error", "error-tail"):
        owner.running.router._api.ask(f"set map {page} {owner.name}/{half} {'x' * 9_000}")


PAGES = {
    Code.CRASHED: in_situation(AppSituation.CRASHED),
    Code.NO_INSTANCE: in_situation(AppSituation.NO_INSTANCE),
    Code.NOT_DEPLOYED: in_situation(AppSituation.NOT_DEPLOYED),
    Code.WAKE_FAILED: in_situation(AppSituation.ASLEEP),
    Code.HELD_TOO_LONG: in_situation(AppSituation.HOLDING),
    Code.QUEUED_TOO_LONG: Provocation(crowd=500),
    Code.TOO_SLOW: Provocation(policy={"timeout_seconds": 1}, path="/wait/3"),
    Code.NO_ANSWER: Provocation(path="/crash", method="POST"),
    Code.BAD_ANSWER: Provocation(path="/garbage", method="POST", seen_as=Code.NO_ANSWER),
    Code.UNREACHABLE: Provocation(
        routes={"endpoints": (Endpoint(instance="dead-1", address="127.0.0.1", port=1),)}
    ),
    Code.SIGN_IN: Provocation(policy={"auth": BasicAuth(salt="0123456789abcdef", credentials=())}),
    Code.NOT_ALLOWED: Provocation(policy={"allowed": (ip_network("10.0.0.0/8"),)}),
    Code.UNKNOWN_HOST: Provocation(headers={"Host": "nobody.test"}),
    Code.BODY_TOO_LARGE: Provocation(
        policy={"limits": RequestLimits(body=10)}, method="POST", content=lambda: b"x" * 11
    ),
    Code.LENGTH_REQUIRED: Provocation(
        policy={"limits": RequestLimits(body=10)}, method="POST", content=lambda: iter([b"x"])
    ),
    Code.HEADERS_TOO_LARGE: Provocation(
        policy={"limits": RequestLimits(headers=1000)}, headers={"Cookie": "a" * 1000}
    ),
    Code.RATE_LIMITED: Provocation(
        policy={"limits": RequestLimits(rate=1)},
        prepare=lambda owner: [owner.ask() for _ in range(10)],
    ),
    Code.TOO_MANY_OPEN: Provocation(policy={"limits": RequestLimits(open=2)}, crowd=2),
    Code.MAINTENANCE: Provocation(policy={"maintenance": True}),
    Code.PORTAL_STARTING: Provocation(headers={"Host": "portal.test"}),
    Code.ROUTER_FAULT: Provocation(
        routes={"situation": AppSituation.CRASHED},
        policy={"error_page": "small"},
        prepare=behind_the_routers_back,
    ),
}
FORMS = ("text/html", "application/json")
# An app's own page is only for browsers, and only such a page can be too large.
NOT_AS_JSON = (Code.ROUTER_FAULT, "application/json")
HEAD = "HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n"
# Errors without a page: the answer has begun, the client has left, or HAProxy sends its own page
# before it applies a rule.
BARE = {
    Code.BROKE_OFF: (f"GET /half {HEAD}\r\n", b"HTTP/1.1 200 ", b"half of it"),
    Code.CLIENT_LEFT: (f"GET /events {HEAD}\r\n", b"", b""),
    Code.BAD_REQUEST: (f"GET / {HEAD}Bad Header: x\r\n\r\n", b"HTTP/1.1 400 ", b"</html>\n"),
    Code.REQUEST_TOO_SLOW: (f"GET / {HEAD}", b"HTTP/1.1 408 ", b"</html>\n"),
}


def test_all_codes_are_covered():
    assert PAGES.keys() | BARE.keys() == set(Code)
    assert {code for code, what in EXPLAINED.items() if not what.status} == {
        Code.BAD_ANSWER,
        Code.BROKE_OFF,
        Code.CLIENT_LEFT,
    }


@pytest.mark.parametrize(
    ("code", "accept"),
    [(code, accept) for code in PAGES for accept in FORMS if (code, accept) != NOT_AS_JSON],
)
def test_a_code_is_on_its_page_and_in_the_log(
    owner: Owner, counted: Callable[[Code], int], code: Code, accept: str
):
    what, before = PAGES[code], counted(code)
    owner.change(**what.routes, policy=Policy(**what.policy))
    with ExitStack() as crowd:
        if what.crowd:
            request = f"GET /wait/30 HTTP/1.1\r\nHost: {owner.host}\r\n\r\n".encode()
            crowd.enter_context(Crowd(owner.running.config.http_port, request, what.crowd))
            wait_for(lambda: owner.app.hits["/wait/30"] == what.crowd)
        what.prepare(owner)
        answer = owner.ask(
            what.path,
            what.method,
            headers={"Accept": accept, **what.headers},
            content=what.content(),
        )
    check_page(answer, what.seen_as or code, accept)
    wait_for(
        lambda: counted(code) > before
    )  # a slow machine lets requests of the crowd wait too long, too


@pytest.mark.parametrize("code", BARE)
def test_a_code_without_a_page_is_in_the_log(
    owner: Owner, counted: Callable[[Code], int], code: Code
):
    (request, begins, ends), before = BARE[code], counted(code)
    with socket.create_connection(("127.0.0.1", owner.running.config.http_port), 20) as raw:
        raw.sendall(request.format(host=owner.host).encode())
        answer = b"" if code is Code.CLIENT_LEFT and raw.recv(1) else raw.makefile("rb").read()
    assert answer.startswith(begins)
    assert answer.endswith(ends)
    wait_for(
        lambda: counted(code) > before
    )  # a slow machine lets requests of the crowd wait too long, too
