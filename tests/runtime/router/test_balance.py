"""Tests of load balancing: sticky sessions, paths, canary shares, weights and the load of each
instance.
"""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from runtime.contract.error_codes import Code
from runtime.errors import RouterRefused
from runtime.router.routes import AppSituation, Canary, PathRoute
from tests.runtime.router.conftest import Crowd, check_page, end, router_of_its_own, wait_for
from tests.runtime.router.support.owner import Owner, owner, shared

__all__ = ["owner", "shared"]


def test_a_sticky_client_keeps_its_instance_until_it_is_removed(owner: Owner):
    others = [owner.running.app(f"{owner.name}-{number}") for number in (2, 3)]
    owner.change(endpoints=tuple(map(end, (owner.app, *others))))
    assert "set-cookie" not in owner.ask().headers
    owner.set(sticky=True)
    first = owner.ask()
    cookie = first.headers["set-cookie"].partition(";")[0]
    names = {owner.ask(headers={"Cookie": cookie}).json()["name"] for _ in range(12)}
    assert names == {first.json()["name"]}
    assert "slipway-instance" not in owner.ask(headers={"Cookie": cookie}).json()["headers"].get(
        "cookie", ""
    )
    left = [app for app in (owner.app, *others) if app.name != first.json()["name"]]
    owner.change(endpoints=tuple(map(end, left)))
    moved = owner.ask(headers={"Cookie": cookie})
    assert moved.status_code == 200
    assert moved.headers["set-cookie"].startswith("slipway-instance=")


def test_requests_of_a_path_go_to_its_process_type_by_longest_prefix(owner: Owner):
    api, deep = owner.running.app(f"{owner.name}-api"), owner.running.app(f"{owner.name}-deep")
    ends = (end(owner.app), replace(end(api), process="api"), replace(end(deep), process="deep"))
    paths = (PathRoute(prefix="/api", process="api"), PathRoute(prefix="/api/v2", process="deep"))
    owner.change(endpoints=ends, paths=paths)
    asked = {
        path: owner.ask(path).json()["name"]
        for path in ("/", "/api", "/api/", "/api/x?y=z", "/apix", "/api/v2", "/api/v2/x", "/x/api")
    }
    web = owner.app.name
    assert asked == {
        "/": web,
        "/api": api.name,
        "/api/": api.name,
        "/api/x?y=z": api.name,
        "/apix": web,
        "/api/v2": deep.name,
        "/api/v2/x": deep.name,
        "/x/api": web,
    }
    owner.change(endpoints=ends[1:], situation=AppSituation.NO_INSTANCE)
    assert owner.ask("/api/x").status_code == 200
    check_page(owner.ask("/"), Code.NO_INSTANCE, "text/html")
    owner.change(endpoints=ends[:1], situation=AppSituation.SERVING)
    check_page(owner.ask("/api"), Code.NO_INSTANCE, "text/html")
    owner.change(paths=())
    assert owner.ask("/api").json()["name"] == web
    assert owner.running.router.reconcile() == []


def test_wildcard_hosts_cover_one_level_and_exact_hosts_win(owner: Owner):
    other = Owner(owner.running, f"{owner.name}x")
    owner.change(hosts=(owner.host, f"*.{owner.host}"))
    other.change(hosts=(f"shop.{owner.host}",))
    assert owner.ask(headers={"Host": f"Any.{owner.host}:80"}).json()["name"] == owner.app.name
    assert owner.ask(headers={"Host": f"shop.{owner.host}"}).json()["name"] == other.app.name
    check_page(owner.ask(headers={"Host": f"a.b.{owner.host}"}), Code.UNKNOWN_HOST, "text/html")
    with pytest.raises(RouterRefused, match="already leads to"):
        other.change(hosts=(f"*.{owner.host}",))
    owner.running.router.remove(other.name)


def test_a_canary_gets_its_share_and_all_requests_with_the_token(owner: Owner):
    fresh = owner.running.app(f"{owner.name}-new")
    ends = (end(owner.app), replace(end(fresh), canary=True))

    def names(count: int, **headers: str) -> Counter[str]:
        return Counter(owner.ask(headers=headers).json()["name"] for _ in range(count))

    owner.change(endpoints=ends, canary=Canary(percent=0, token="v7-preview"))
    assert set(names(30)) == {owner.app.name}
    assert set(names(5, **{"X-Slipway-Preview": "v7-preview"})) == {fresh.name}
    assert set(names(5, Cookie="slipway-preview=v7-preview; a=b")) == {fresh.name}
    assert set(names(5, **{"X-Slipway-Preview": "v7"})) == {owner.app.name}
    owner.change(canary=Canary(percent=30))
    assert 20 < names(200)[fresh.name] < 110
    owner.change(canary=Canary(percent=100))
    assert set(names(20)) == {fresh.name}
    owner.set(sticky=True)
    owner.change(canary=Canary(percent=50))
    assert len(names(20)) == 1, "a client of a sticky app was on both sides"


def test_promoting_a_canary_cuts_none_of_its_requests(owner: Owner):
    fresh = owner.running.app(f"{owner.name}-new")
    before = (end(owner.app), replace(end(fresh), canary=True))
    owner.change(endpoints=before, canary=Canary(percent=100))
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(owner.ask, "/wait/3")
        wait_for(lambda: fresh.hits["/wait/3"])
        owner.change(
            endpoints=(
                end(fresh),
                replace(end(fresh), canary=True, draining=True),
                end(owner.app, draining=True),
            ),
            canary=None,
        )
        assert owner.running.router.connections(owner.name, fresh.name) == 1
        owner.change(endpoints=(end(fresh),))
        assert owner.ask().json()["name"] == fresh.name
        assert slow.result().status_code == 200
    owner.running.router.reconcile()
    assert owner.running.router.connections(owner.name, fresh.name) == 0


def test_weights_are_respected_and_the_least_busy_instance_is_next(owner: Owner):
    busy = owner.running.app(f"{owner.name}-busy")
    owner.change(endpoints=(replace(end(owner.app), weight=256), replace(end(busy), weight=0)))
    assert {owner.ask().json()["name"] for _ in range(10)} == {owner.app.name}
    owner.change(endpoints=(replace(end(owner.app), weight=100), replace(end(busy), weight=100)))
    with ThreadPoolExecutor(2) as pool:
        slow = [pool.submit(owner.ask, "/wait/2") for _ in range(2)]
        wait_for(lambda: owner.app.hits["/wait/2"] + busy.hits["/wait/2"] == 2)
        assert owner.app.hits["/wait/2"] == busy.hits["/wait/2"] == 1
        assert {future.result().status_code for future in slow} == {200}


def test_a_full_queue_has_its_own_code():
    with router_of_its_own(queue_seconds=1) as running:
        slow = Owner(running, "full")
        slow.change()
        with Crowd(
            running.config.http_port,
            f"GET /wait/30 HTTP/1.1\r\nHost: {slow.host}\r\n\r\n".encode(),
            500,
        ):
            wait_for(lambda: slow.app.hits["/wait/30"] == 500)
            check_page(slow.ask(), Code.QUEUED_TOO_LONG, "text/html")
