"""Tests of the router settings of an app's owner.

All use one real HAProxy; each has its own app.
"""

from __future__ import annotations

import base64
import re
import socket
import subprocess
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from ipaddress import ip_address, ip_network

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.contract.error_codes import Code
from runtime.errors import RouterRefused
from runtime.router import haproxy
from runtime.router.document import from_document, to_document
from runtime.router.map_entries import hex_beginnings, slot_name
from runtime.router.pages import custom_parts
from runtime.router.policy import BasicAuth, Credential, Policy, RequestLimits, credential_digest
from runtime.router.routes import WEB, AppRoutes, AppSituation, Canary, Endpoint, PathRoute
from runtime.router.server_diff import live_servers
from tests.runtime.router.conftest import check_page, end, router_of_its_own, wait_for
from tests.runtime.router.support.h2_app import H2App
from tests.runtime.router.support.owner import Owner, owner, shared

__all__ = ["owner", "shared"]


def test_maintenance_shows_its_page_and_blocks_all_requests(owner: Owner):
    owner.set(maintenance=True)
    check_page(owner.ask(), Code.MAINTENANCE, "text/html")
    assert owner.ask().headers["retry-after"] == "60"
    page = (
        '<!doctype html><h1>Zurück um 10?</h1>\n<p style="color: red">100% + "mehr";'
        " {request_id}</p>"
    )
    owner.set(maintenance=True, maintenance_page=page)
    answer = owner.ask()
    shown = (
        page.replace("\n", " ")
        .replace("ü", "&#252;")
        .replace("{request_id}", answer.headers["x-request-id"])
    )
    assert (answer.status_code, answer.text) == (503, shown)
    assert answer.headers["x-slipway-code"] == Code.MAINTENANCE
    check_page(
        owner.ask(headers={"Accept": "application/json"}), Code.MAINTENANCE, "application/json"
    )
    assert owner.app.hits.total() == 0
    owner.set(maintenance_page=page)
    assert owner.ask().status_code == 200


def test_an_error_page_of_the_app_replaces_all_error_pages(owner: Owner):
    owner.set(error_page="<h1>Oh no</h1>")
    answers = [owner.ask("/crash", "POST")]
    owner.change(situation=AppSituation.CRASHED)
    answers.append(owner.ask())
    for answer, code in zip(answers, (Code.NO_ANSWER, Code.CRASHED), strict=True):
        assert answer.text == f"<h1>Oh no</h1><!-- request {answer.headers['x-request-id']} -->"
        assert answer.headers["x-slipway-code"] == code
    check_page(owner.ask(headers={"Accept": "application/json"}), Code.CRASHED, "application/json")
    owner.set(error_page="<h1>Oh no</h1>", maintenance=True)
    check_page(owner.ask(), Code.MAINTENANCE, "text/html")


def test_a_page_that_is_too_large_is_refused_with_its_size(owner: Owner):
    with pytest.raises(RouterRefused, match=r"has 12\d+ bytes; the limit is"):
        owner.set(error_page="x" * 12_000)


def test_other_hosts_redirect_to_the_canonical_one(owner: Owner):
    owner.change(hosts=(owner.host, f"www.{owner.host}"), policy=Policy(canonical_host=owner.host))
    answer = owner.ask("/a/b?c=d%20e", "POST", headers={"Host": f"www.{owner.host}"})
    assert answer.status_code == 308
    assert (
        answer.headers["location"]
        == f"http://{owner.host}:{owner.running.config.http_port}/a/b?c=d%20e"
    )
    assert owner.ask().status_code == 200


def test_bodies_over_the_limit_are_refused_before_the_app_gets_them(owner: Owner):
    owner.set(limits=RequestLimits(body=1000))
    assert owner.ask("/", "POST", content=b"x" * 1000).status_code == 200
    check_page(owner.ask("/", "POST", content=b"x" * 1001), Code.BODY_TOO_LARGE, "text/html")
    check_page(owner.ask("/", "POST", content=iter([b"x"])), Code.LENGTH_REQUIRED, "text/html")
    assert owner.app.hits["/"] == 1
    owner.set()
    assert owner.ask("/", "POST", content=b"x" * 100_000).json()["received"] == 100_000


def test_headers_over_the_limit_are_refused(owner: Owner):
    owner.set(limits=RequestLimits(headers=2000))
    assert owner.ask(headers={"Cookie": "a" * 1000}).status_code == 200
    check_page(owner.ask(headers={"Cookie": "a" * 2000}), Code.HEADERS_TOO_LARGE, "text/html")


def test_a_rate_limit_admits_its_number_of_requests(owner: Owner):
    owner.set(limits=RequestLimits(rate=2))
    answers = Counter(owner.ask().status_code for _ in range(40))
    assert 20 <= answers[200] <= 30
    assert set(answers) == {200, 429}
    check_page(owner.ask(), Code.RATE_LIMITED, "text/html")
    owner.set()
    assert owner.ask().status_code == 200


def test_one_client_does_not_use_up_the_rate_of_another(owner: Owner):
    owner.set(limits=RequestLimits(client_rate=1))
    assert Counter(owner.ask().status_code for _ in range(15)) == {200: 10, 429: 5}
    with socket.create_connection(
        ("127.0.0.1", owner.running.config.http_port), 5, source_address=("127.0.0.9", 0)
    ) as other:
        other.sendall(f"GET / HTTP/1.1\r\nHost: {owner.host}\r\n\r\n".encode())
        assert other.recv(100).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("limits", [RequestLimits(open=3), RequestLimits(client_open=3)])
def test_open_requests_never_exceed_the_limit(owner: Owner, limits: RequestLimits):
    owner.set(limits=limits)
    with ThreadPoolExecutor(8) as pool:
        answers = Counter(pool.map(lambda _: owner.ask("/wait/2").status_code, range(8)))
        assert answers == {200: 3, 429: 5}
        open_ones = [pool.submit(owner.ask, "/wait/2") for _ in range(3)]
        wait_for(lambda: owner.app.hits["/wait/2"] == 6)
        check_page(owner.ask(), Code.TOO_MANY_OPEN, "text/html")
        assert {future.result().status_code for future in open_ones} == {200}
    assert owner.ask().status_code == 200


def test_a_request_timeout_is_set_per_app(owner: Owner):
    owner.set(timeout_seconds=1)
    check_page(owner.ask("/wait/3"), Code.TOO_SLOW, "text/html")
    owner.set(timeout_seconds=10)
    assert owner.ask("/wait/1.5").status_code == 200


def test_only_allowed_addresses_are_admitted(owner: Owner):
    owner.set(allowed=(ip_network("10.0.0.0/8"), ip_network("2001:db8::/33")))
    check_page(owner.ask(), Code.NOT_ALLOWED, "text/html")
    owner.set(allowed=(ip_network("10.0.0.0/8"), ip_network("127.0.0.0/30")))
    assert owner.ask().status_code == 200
    owner.set(allowed=(ip_network("127.0.0.2/31"),))
    check_page(owner.ask(), Code.NOT_ALLOWED, "text/html")
    owner.set(allowed=(ip_network("0.0.0.0/0"),))
    assert owner.ask().status_code == 200


@given(st.ip_addresses(v=4) | st.ip_addresses(v=6), st.data())
def test_the_hexadecimal_prefixes_match_exactly_the_network(address, data):
    network = ip_network((address, data.draw(st.integers(0, address.max_prefixlen))), strict=False)
    beginnings = hex_beginnings(network)
    assert 1 <= len(beginnings) <= 8

    def inside(candidate) -> bool:
        return any(
            f"{candidate.version}{candidate.packed.hex().upper()}".startswith(start)
            for start in beginnings
        )

    other = data.draw(st.ip_addresses(v=address.version))
    edges = [network[0], network[-1], address]
    beyond = [ip_address(int(network[0]) - 1)] if int(network[0]) > 2**33 else []
    assert all(
        inside(candidate) == (candidate in network) for candidate in [*edges, *beyond, other]
    )


def test_basic_auth_passes_the_name_and_not_the_password_to_the_app(owner: Owner):
    salt = "0123456789abcdef"
    names = tuple(
        Credential(name=name, digest=credential_digest(salt, name, secret))
        for name, secret in (("ann", "p:ä w"), ("bo", "x"))
    )
    owner.set(auth=BasicAuth(salt=salt, credentials=names))
    refused = owner.ask()
    check_page(refused, Code.SIGN_IN, "text/html")
    assert refused.headers["www-authenticate"].startswith('Basic realm="')
    seen = owner.ask(auth=("ann", "p:ä w"), headers={"X-Forwarded-User": "root"}).json()["headers"]
    assert seen["x-forwarded-user"] == "ann"
    assert "authorization" not in seen
    plain = base64.b64encode(b"bo:x").decode()
    assert owner.ask(headers={"Authorization": f"bAsIc {plain}"}).status_code == 200
    for wrong in (("ann", "x"), ("bo", ""), ("", ""), ("ann", "p:ä w ")):
        assert owner.ask(auth=wrong).status_code == 401
    owner.set(auth=BasicAuth(salt=salt, credentials=names[:1]))
    assert owner.ask(auth=("bo", "x")).status_code == 401


def test_an_app_with_keep_alive_reuses_connections_and_is_replaced_safely(owner: Owner):
    def asked(times: int) -> set[str]:
        with httpx.Client(headers={"Host": owner.host}, trust_env=False) as visitor:
            return {visitor.get(owner.running.url("/")).json()["name"] for _ in range(times)}

    assert asked(20) == {owner.app.name}
    assert owner.app.connections == 20
    owner.set(keep_alive=True)
    assert asked(20) == {owner.app.name}
    assert owner.app.connections < 25
    fresh = owner.running.app(f"{owner.name}-2")
    owner.change(endpoints=(end(fresh),))
    assert asked(20) == {fresh.name}
    assert fresh.connections < 5
    slot = owner.running.router._store.placed(owner.name).slots[WEB]
    question = f"show servers state {slot_name(slot)}"

    def names() -> list[str]:
        # As the periodic task does: a server with an idle connection cannot be deleted at once.
        owner.running.router.reconcile()
        return [
            server.name
            for server in live_servers(owner.running.router._api.ask(question)).get(
                slot_name(slot), ()
            )
        ]

    wait_for(lambda: names() == [f"{fresh.name}:kept"], 60)
    owner.set()
    assert asked(5) == {fresh.name}
    assert fresh.connections >= 6


def test_http2_and_trailers_reach_an_app_that_supports_them(owner: Owner):
    with H2App() as grpc:
        there = Endpoint(instance="grpc-1", address="127.0.0.1", port=grpc.port)
        owner.change(endpoints=(there,), policy=Policy(http2=True))
        message = b"\0\0\0\0\5hello"
        request = (
            f"POST /greet.Greeter/Hello HTTP/1.1\r\nHost: {owner.host}\r\nTE:"
            f" trailers\r\nContent-Length: {len(message)}\r\n"
        )
        with socket.create_connection(("127.0.0.1", owner.running.config.http_port), 5) as raw:
            raw.sendall(request.encode() + b"Connection: close\r\n\r\n" + message)
            answer = raw.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert message in answer
        assert answer.endswith(b"\r\ngrpc-status: 0\r\n\r\n"), "the trailer is lost"
        assert grpc.paths == ["/greet.Greeter/Hello"]
        owner.change(endpoints=(replace(end(owner.app), instance="grpc-1"),), policy=Policy())
        assert owner.ask().json()["name"] == owner.app.name
        assert owner.running.router.reconcile() == []


def test_the_proxy_protocol_carries_the_address_of_the_visitor():
    with router_of_its_own(proxy_protocol=True) as running:
        app_owner = Owner(running, "behind")
        app_owner.change()
        request = f"GET / HTTP/1.1\r\nHost: {app_owner.host}\r\nConnection: close\r\n\r\n".encode()
        with socket.create_connection(("127.0.0.1", running.config.http_port), 5) as raw:
            raw.sendall(b"PROXY TCP4 203.0.113.7 198.51.100.1 5000 80\r\n" + request)
            assert b'"x-forwarded-for": "203.0.113.7"' in raw.makefile("rb").read()
        with (
            socket.create_connection(("127.0.0.1", running.config.http_port), 5) as raw,
            pytest.raises(ConnectionResetError),
        ):
            raw.sendall(request)
            raw.recv(100)


def test_several_policies_change_in_one_step(owner: Owner):
    """Change two settings at once. No request may be served without a password between them."""
    salt = "0123456789abcdef"
    shut = Policy(
        auth=BasicAuth(
            salt=salt, credentials=(Credential(name="a", digest=credential_digest(salt, "a", "b")),)
        ),
        maintenance=False,
    )
    closed = Policy(maintenance=True)
    owner.change(policy=closed)
    seen, stop = Counter[int](), threading.Event()

    def look() -> None:
        with httpx.Client(headers={"Host": owner.host}, timeout=15, trust_env=False) as client:
            while not stop.is_set():
                seen[client.get(owner.running.url("/")).status_code] += 1

    thread = threading.Thread(target=look)
    thread.start()
    for number in range(30):
        owner.change(policy=shut if number % 2 == 0 else closed)
    stop.set()
    thread.join()
    assert set(seen) <= {401, 503}
    assert owner.app.hits.total() == 0


def test_policies_are_restored_from_files_after_a_restart():
    with router_of_its_own() as running:
        app_owner = Owner(running, "kept")
        policy = Policy(
            error_page="<h1>a; b\\ c</h1>",
            maintenance_page="<h1>{request_id}</h1>",
            allowed=(ip_network("127.0.0.0/9"),),
            auth=BasicAuth(
                salt="0123456789abcdef",
                credentials=(
                    Credential(name="a", digest=credential_digest("0123456789abcdef", "a", "b")),
                ),
            ),
            limits=RequestLimits(body=10),
            http2=False,
            sticky=True,
        )
        api = running.app("kept-api")
        app_owner.change(
            policy=policy,
            hosts=(app_owner.host, f"*.{app_owner.host}"),
            endpoints=(end(app_owner.app), replace(end(api), process="api")),
            paths=(PathRoute(prefix="/api", process="api"),),
        )
        assert running.router.reconcile() == []
        running.kill()
        running.start()
        assert running.router.reconcile() == []
        assert running.router.routes() == {"kept": app_owner.routes}
        assert app_owner.ask("/api", auth=("a", "b")).json()["name"] == "kept-api"
        assert app_owner.ask(auth=("a", "c")).status_code == 401
        assert app_owner.ask("/", "POST", auth=("a", "b"), content=b"x" * 11).text.startswith(
            "<h1>a; b\\ c</h1>"
        )
        files = [haproxy.fixed_file(running.config), haproxy.pool_folder(running.config)]
        checked = subprocess.run(
            haproxy.check_command(running.config, files),
            check=False,
            capture_output=True,
            text=True,
        )
        assert not re.search("WARNING|ALERT", checked.stderr), checked.stderr


def test_a_document_of_an_older_version_is_read():
    old = {
        "app": "hello",
        "slot": 3,
        "hosts": ["hello.test"],
        "endpoints": [],
        "situation": "serving",
    }
    routes, slots = from_document(old)
    assert routes == AppRoutes(app="hello", hosts=("hello.test",))
    assert slots == {"web": 3}
    assert from_document(to_document(routes, slots)) == (routes, slots)
    routes, _ = from_document({**old, "paths": [{"prefix": "/api", "process": "api"}]})
    assert routes.situation_of("api") is AppSituation.SERVING


@pytest.mark.parametrize(
    "change",
    [
        {"policy": Policy(canonical_host="a b")},
        {"policy": Policy(canonical_host="*.test")},
        {"policy": Policy(limits=RequestLimits(body=-1))},
        {"policy": Policy(auth=BasicAuth(salt="a|b", credentials=()))},
        {
            "policy": Policy(
                auth=BasicAuth(salt="ab", credentials=(Credential(name="a\nb", digest="0" * 64),))
            )
        },
        {
            "policy": Policy(
                auth=BasicAuth(salt="ab", credentials=(Credential(name="a", digest="password"),))
            )
        },
        {"paths": (PathRoute(prefix="/a;reload", process="web"),)},
        {"paths": (PathRoute(prefix="/a/", process="web"),)},
        {"paths": (PathRoute(prefix="/a", process="@canary"),)},
        {"canary": Canary(percent=101)},
        {"canary": Canary(percent=1)},
        {"hosts": ("*.*.test",)},
    ],
)
def test_a_policy_with_invalid_text_is_refused(owner: Owner, change: dict[str, object]):
    with pytest.raises(RouterRefused):
        owner.change(**change)


def test_a_custom_page_becomes_one_line_of_printable_ascii():
    head, tail = custom_parts('<p>\n  "100 %"? é;</p>\r\n{request_id} end')
    assert re.fullmatch(r"[!-~]+", head + tail)
    assert ";" not in head
