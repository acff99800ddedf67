"""Requests on a path wait for the process type it leads to, and for no other: at a real HAProxy, with the real wake service."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from runtime.contract.error_codes import Code
from runtime.router.policy import BasicAuth, Policy
from runtime.router.routes import AppSituation, PathRoute
from tests.runtime.router.conftest import RouterUnderTest, check_page, end, router_of_its_own, wait_for
from tests.runtime.router.test_wake import Sleeper, service_that_waits

API = PathRoute(prefix="/api", process="api")
HELD = (replace(API, situation=AppSituation.HOLDING), PathRoute(prefix="/api/docs", process="web"))


@pytest.fixture(scope="module")
def shared() -> Iterator[RouterUnderTest]:
    with router_of_its_own() as under_test:
        yield under_test


class Pair(Sleeper):
    """An app of two process types: `app` answers for web, `other` for the path."""

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
    one = Pair(shared)
    with service_that_waits(one) as serving:
        one.service = serving
        yield one
    shared.router.remove(one.name)


def test_a_path_s_requests_wait_for_its_process_type_while_web_answers(pair: Pair):
    with ThreadPoolExecutor(5) as pool:
        held = [pool.submit(pair.name_of, "/api/x") for _ in range(4)]
        held.append(pool.submit(pair.name_of, "/api", method="POST", content=b"once"))
        wait_for(lambda: pair.service.held[pair.name] == 5)
        assert {pair.name_of(path) for path in ("/", "/apix", "/api/docs/1")} == {pair.app.name}
        assert not any(one.done() for one in held)
        pair.bring_up()
        assert {one.result() for one in held} == {pair.other.name}
    assert pair.name_of("/api/x") == pair.other.name


def test_a_path_that_is_empty_again_is_held_again_and_no_longer_than_the_app_allows(pair: Pair):
    pair.bring_up(policy=Policy(hold_seconds=1))
    assert pair.name_of("/api") == pair.other.name
    pair.change(endpoints=(pair.web,), paths=HELD)
    began = time.monotonic()
    check_page(pair.get("/api"), Code.HELD_TOO_LONG, "text/html")
    assert time.monotonic() - began > 0.9
    assert pair.name_of("/") == pair.app.name


@pytest.mark.parametrize(("situation", "code"), [(AppSituation.CRASHED, Code.CRASHED), (AppSituation.NO_INSTANCE, Code.NO_INSTANCE)])
def test_what_is_not_on_its_way_is_told_at_once_on_the_path_or_beside_it(pair: Pair, situation: AppSituation, code: Code):
    pair.change(paths=(replace(API, situation=situation),))
    check_page(pair.get("/api"), code, "text/html")
    assert pair.name_of("/") == pair.app.name
    pair.change(endpoints=(pair.api,), paths=(API,), situation=situation)
    check_page(pair.get("/"), code, "text/html")
    assert pair.name_of("/api") == pair.other.name


def test_while_web_is_held_a_path_that_is_served_is_not(pair: Pair):
    pair.change(endpoints=(pair.api,), paths=(API,), situation=AppSituation.HOLDING, policy=Policy(hold_seconds=1))
    began = time.monotonic()
    assert pair.name_of("/api") == pair.other.name
    assert time.monotonic() - began < 0.9
    check_page(pair.get("/"), Code.HELD_TOO_LONG, "text/html")


def test_a_request_on_a_path_of_a_sleeping_app_is_answered_by_its_process_type_though_web_is_there_first(pair: Pair):
    pair.change(endpoints=(), situation=AppSituation.ASLEEP)
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(pair.name_of, "/api")
        wait_for(lambda: pair.service.held[pair.name])
        pair.change(endpoints=(pair.web,), situation=AppSituation.SERVING)
        assert pair.name_of("/") == pair.app.name
        assert not held.done()
        pair.bring_up()
        assert held.result() == pair.other.name


def test_what_is_held_on_a_path_while_the_router_reloads_is_served_by_the_old_worker(pair: Pair):
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(pair.name_of, "/api")
        wait_for(lambda: pair.service.held[pair.name])
        pair.running.router.reload()
        pair.bring_up()
        assert held.result() == pair.other.name


def test_nobody_is_held_on_a_path_who_would_be_refused(pair: Pair):
    pair.change(policy=Policy(auth=BasicAuth(salt="0123456789abcdef", credentials=())))
    assert pair.get("/api").status_code == 401
    assert not pair.service.held


def test_files_running_router_and_journal_agree_on_how_a_path_is_doing(pair: Pair):
    assert pair.running.router.reconcile() == []
    assert pair.running.router.routes()[pair.name] == pair.routes
    assert pair.running.router.route(pair.name).paths == HELD
