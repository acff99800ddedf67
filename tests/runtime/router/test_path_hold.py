"""Tests of held requests on a path: they wait only for the path's process type.

A real HAProxy and the real wake service run.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from runtime.contract.error_codes import Code
from runtime.router.policy import BasicAuth, Policy
from runtime.router.routes import AppSituation, PathRoute
from tests.runtime.router.conftest import (
    RouterUnderTest,
    check_page,
    end,
    router_of_its_own,
    wait_for,
)
from tests.runtime.router.test_wake import Sleeper, service_that_waits

API = PathRoute(prefix="/api", process="api")
HELD = (replace(API, situation=AppSituation.HOLDING), PathRoute(prefix="/api/docs", process="web"))


@pytest.fixture(scope="module")
def shared() -> Iterator[RouterUnderTest]:
    with router_of_its_own() as under_test:
        yield under_test


class Pair(Sleeper):
    """An app with two process types: `app` answers for web, `other` for the path."""

    def __init__(self, running: RouterUnderTest) -> None:
        super().__init__(running)
        self.other = running.app(f"{self.name}-api")
        self.web, self.api = end(self.app), replace(end(self.other), process="api")
        self.change(endpoints=(self.web,), paths=HELD, situation=AppSituation.SERVING)

    def bring_up(self, **rest: object) -> None:
        self.change(endpoints=(self.web, self.api), paths=(API, *HELD[1:]), **rest)

    def name_of(self, path: str, **rest: object) -> str:
        answer = self.get(path, **rest)
        assert answer.status_code == 200, answer.text
        return answer.json()["name"]


@pytest.fixture
def pair(shared: RouterUnderTest) -> Iterator[Pair]:
    held_pair = Pair(shared)
    with service_that_waits(held_pair) as serving:
        held_pair.service = serving
        yield held_pair
    shared.router.remove(held_pair.name)


def test_requests_of_a_path_wait_for_its_process_type_while_web_answers(pair: Pair):
    with ThreadPoolExecutor(5) as pool:
        held = [pool.submit(pair.name_of, "/api/x") for _ in range(4)]
        held.append(pool.submit(pair.name_of, "/api", method="POST", content=b"once"))
        wait_for(lambda: pair.service.held[pair.name] == 5)
        assert {pair.name_of(path) for path in ("/", "/apix", "/api/docs/1")} == {pair.app.name}
        assert not any(request.done() for request in held)
        pair.bring_up()
        assert {request.result() for request in held} == {pair.other.name}
    assert pair.name_of("/api/x") == pair.other.name


def test_a_path_without_instances_is_held_no_longer_than_the_app_allows(pair: Pair):
    pair.bring_up(policy=Policy(hold_seconds=1))
    assert pair.name_of("/api") == pair.other.name
    pair.change(endpoints=(pair.web,), paths=HELD)
    began = time.monotonic()
    check_page(pair.get("/api"), Code.HELD_TOO_LONG, "text/html")
    assert time.monotonic() - began > 0.9
    assert pair.name_of("/") == pair.app.name


@pytest.mark.parametrize(
    ("situation", "code"),
    [(AppSituation.CRASHED, Code.CRASHED), (AppSituation.NO_INSTANCE, Code.NO_INSTANCE)],
)
def test_a_process_type_that_is_not_starting_is_reported_at_once(
    pair: Pair, situation: AppSituation, code: Code
):
    pair.change(paths=(replace(API, situation=situation),))
    check_page(pair.get("/api"), code, "text/html")
    assert pair.name_of("/") == pair.app.name
    pair.change(endpoints=(pair.api,), paths=(API,), situation=situation)
    check_page(pair.get("/"), code, "text/html")
    assert pair.name_of("/api") == pair.other.name


def test_a_served_path_is_not_held_while_web_is_held(pair: Pair):
    pair.change(
        endpoints=(pair.api,),
        paths=(API,),
        situation=AppSituation.HOLDING,
        policy=Policy(hold_seconds=1),
    )
    began = time.monotonic()
    assert pair.name_of("/api") == pair.other.name
    assert time.monotonic() - began < 0.9
    check_page(pair.get("/"), Code.HELD_TOO_LONG, "text/html")


def test_a_path_of_a_sleeping_app_waits_for_its_own_process_type(pair: Pair):
    pair.change(endpoints=(), situation=AppSituation.ASLEEP)
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(pair.name_of, "/api")
        wait_for(lambda: pair.service.held[pair.name])
        pair.change(endpoints=(pair.web,), situation=AppSituation.SERVING)
        assert pair.name_of("/") == pair.app.name
        assert not held.done()
        pair.bring_up()
        assert held.result() == pair.other.name


def test_the_old_worker_serves_requests_held_during_a_reload(pair: Pair):
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(pair.name_of, "/api")
        wait_for(lambda: pair.service.held[pair.name])
        pair.running.router.reload()
        pair.bring_up()
        assert held.result() == pair.other.name


def test_a_request_on_a_path_that_would_be_refused_is_not_held(pair: Pair):
    pair.change(policy=Policy(auth=BasicAuth(salt="0123456789abcdef", credentials=())))
    assert pair.get("/api").status_code == 401
    assert not pair.service.held


def test_files_router_and_journal_agree_on_the_situation_of_a_path(pair: Pair):
    assert pair.running.router.reconcile() == []
    assert pair.running.router.routes()[pair.name] == pair.routes
    assert pair.running.router.route(pair.name).paths == HELD
