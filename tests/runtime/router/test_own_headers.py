"""Tests of headers that only the router may set.

It removes them from clients' requests and from apps' answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Network

import pytest

from runtime.contract.error_codes import Code
from runtime.router.config.headers import OWN_PREFIX, REMOVED
from runtime.router.policy import BasicAuth, Credential, Policy, credential_digest
from runtime.router.routes import Canary
from tests.runtime.router.conftest import RouterUnderTest, router_of_its_own, routes_to
from tests.runtime.router.support.recorder import OK, Recorder, exchange, frame, http2_request

ROUTERS = {"x-forwarded-for": "127.0.0.1", "x-forwarded-proto": "http", "x-forwarded-host": "hello.test"}
KNOWN = [  # headers of each group that are in use, in their usual spelling
    *("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-User", "X-Forwarded-Prefix"),
    *("X-Forwarded", "X-Forwarded-Anything", "X-Forwarder-For", "X-Forward-For", "Forwarded", "Forwarded-For"),
    *("X-Real-IP", "X-Client-IP", "X-Cluster-Client-IP", "Client-IP", "True-Client-IP", "X-Originating-IP", "X-Remote-IP", "X-Remote-Addr"),
    *("CF-Connecting-IP", "CF-Connecting-IPv6", "CF-IPCountry", "CF-Visitor", "Fastly-Client-IP", "Fly-Client-IP", "X-ProxyUser-Ip"),
    *("X-Envoy-External-Address", "X-Appengine-User-IP", "X-Azure-ClientIP", "X-Original-Forwarded-For"),
    *("X-Original-URL", "X-Original-Host", "X-Rewrite-URL", "X-Host", "X-HTTP-Host-Override", "X-Scheme", "X-Url-Scheme"),
    *("Front-End-Https", "X-SSL-Client-Cert", "X-ARR-ClientCert", "X-Request-Id", "Proxy", "HTTP2-Settings"),
    *("X-Slipway-Page", "X-Slipway-Code", "X-Slipway-Domain", "X-Slipway-Preview", "X-Slipway-Anything"),
]
WEBSOCKET_KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
KEPT = [
    "X-HTTP-Method-Override",
    "X-CSRF-Token",
    "X-Requested-With",
    "X-Api-Key",
    "Authorization",
    "X-Forest",
    "Proxy-Status",
    "Cfg",
    "X-Hostname",
]


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
    assert exchange(running.config.http_port, text.encode(), quiet=0.05).startswith(b"HTTP/1.1 200 ")
    return app.headers()


@pytest.mark.parametrize("name", [*REMOVED, *KNOWN])
def test_a_header_of_proxies_or_of_the_router_is_removed(recorded: tuple[RouterUnderTest, Recorder], name: str):
    name = f"{name}anything" if name.endswith("-") else name
    for written in (name, name.upper(), name.lower()):
        headers = seen(recorded, "X-Before: 1", f"{written}: 6.6.6.6", f"{written}: evil.test", "X-After: 1")
        assert not [value for value in headers.values() if value in ("6.6.6.6", "evil.test")]
        assert headers.keys() == {"host", "x-before", "x-after", "x-request-id", *ROUTERS}
        assert headers.items() >= ROUTERS.items()


@pytest.mark.parametrize("name", [name for name in KNOWN if "-" in name])
def test_another_spelling_of_such_a_header_is_removed_too(recorded: tuple[RouterUnderTest, Recorder], name: str):
    """Send other spellings.

    WSGI and CGI turn X_Real_IP, X-Real_IP and X-Real-IP into HTTP_X_REAL_IP.
    """
    for written in (name.replace("-", "_"), name.replace("-", "_", 1), name.replace("-", ".")):
        assert "6.6.6.6" not in seen(recorded, f"{written}: 6.6.6.6").values()


def test_similar_header_names_are_kept(recorded: tuple[RouterUnderTest, Recorder]):
    headers = seen(recorded, *(f"{name}: kept" for name in KEPT), "X-Real-IP: 6.6.6.6")
    assert {name for name, value in headers.items() if value == "kept"} == {name.lower() for name in KEPT}
    assert "x-real-ip" not in headers


@pytest.mark.parametrize("name", ["x-real-ip", "x-forwarded-for", "true-client-ip", "x-slipway-anything", "proxy", "x-request-id"])
def test_http2_does_not_bypass_the_removal(recorded: tuple[RouterUnderTest, Recorder], name: str):
    running, app = recorded
    app.take()
    fields = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"hello.test"), (name.encode(), b"6.6.6.6")]
    exchange(running.config.http_port, http2_request(fields))
    headers = app.headers()
    assert headers["host"] == "hello.test"
    assert "6.6.6.6" not in headers.values()


@pytest.mark.parametrize(
    "connection",
    ["close, X-Forwarded-For", "X-Forwarded-For, X-Forwarded-Host, X-Request-Id", "keep-alive, X-Forwarded-User", "x-forwarded-proto"],
)
def test_a_client_cannot_list_headers_of_the_router_in_connection(recorded: tuple[RouterUnderTest, Recorder], connection: str):
    """Send Connection with names of headers.

    Each proxy removes the headers that Connection names, also a proxy inside the app (RFC 9110,
    7.6.1).
    """
    headers = seen(recorded, f"Connection: {connection}")
    assert "connection" not in headers
    assert headers.items() >= ROUTERS.items()


@pytest.mark.parametrize("upgrade", ["h2c", "H2C", "websocket, h2c", "h2c, websocket", "HTTP/2.0", "TLS/1.2"])
def test_a_connection_cannot_be_upgraded_past_the_router(recorded: tuple[RouterUnderTest, Recorder], upgrade: str):
    """Send an upgrade to h2c.

    If the app agreed, it would receive all further bytes directly from the client: forged headers,
    without limits.
    """
    headers = seen(recorded, "Connection: Upgrade, HTTP2-Settings", f"Upgrade: {upgrade}", "HTTP2-Settings: AAMAAABk", WEBSOCKET_KEY)
    assert not {"upgrade", "connection", "http2-settings"} & headers.keys()


def test_a_websocket_upgrade_lists_nothing_else_in_connection(recorded: tuple[RouterUnderTest, Recorder]):
    headers = seen(recorded, "Connection: Upgrade, X-Forwarded-For", "Upgrade: websocket", WEBSOCKET_KEY)
    assert (headers["connection"].lower(), headers["upgrade"]) == ("upgrade", "websocket")
    assert headers.items() >= ROUTERS.items()


def test_the_name_of_a_signed_in_user_comes_from_the_router_only(recorded: tuple[RouterUnderTest, Recorder]):
    running, app = recorded
    auth = BasicAuth(salt="salt", credentials=(Credential(name="ann", digest=credential_digest("salt", "ann", "secret")),))
    routes = replace(routes_to(app.endpoint), policy=Policy(auth=auth))
    running.router.set(routes)
    try:
        headers = seen(recorded, "Authorization: Basic YW5uOnNlY3JldA==", "X-Forwarded-User: admin", "X_Forwarded_User: admin")
        assert headers["x-forwarded-user"] == "ann"
        assert "authorization" not in headers
    finally:
        running.router.set(routes_to(app.endpoint))


def test_the_preview_token_works_and_is_not_sent_to_the_app(recorded: tuple[RouterUnderTest, Recorder]):
    running, app = recorded
    with Recorder() as fresh:
        canary = replace(fresh.endpoint, instance="canary-1", canary=True)
        # A token for this test.
        running.router.set(replace(routes_to(app.endpoint, canary), canary=Canary(percent=0, token="lookout")))
        try:
            app.take()
            text = b"GET / HTTP/1.1\r\nHost: hello.test\r\nX-Slipway-Preview: lookout\r\nX-Slipway-Other: 1\r\n\r\n"
            exchange(running.config.http_port, text)
            headers = fresh.headers()
            assert headers["host"] == "hello.test"
            assert not [name for name in headers if name.startswith(OWN_PREFIX)]
            assert app.take() == b""
        finally:
            running.router.set(routes_to(app.endpoint))


FORGED = {
    "a page of the router": b"X-Slipway-Page: 1",
    "a code of the router": b"X-Slipway-Code: H41",
    "the proof of a domain": b"X-Slipway-Domain: here",
    "any header of the router": b"x-slipway-anything: 1",
    "in capitals": b"X-SLIPWAY-PAGE: 1",
}


@pytest.mark.parametrize("line", FORGED.values(), ids=FORGED)
@pytest.mark.parametrize("status", [b"200 OK", b"404 Not Found", b"503 Service Unavailable"])
def test_an_answer_of_an_app_cannot_imitate_one_of_the_router(recorded: tuple[RouterUnderTest, Recorder], line: bytes, status: bytes):
    running, app = recorded
    app.answer = OK.replace(b"200 OK", status).replace(b"\r\n\r\n", b"\r\n" + line + b"\r\nX-Request-Id: forged\r\nX-Kept: 1\r\n\r\n")
    try:
        answer = exchange(running.config.http_port, b"GET / HTTP/1.1\r\nHost: hello.test\r\n\r\n").lower()
    finally:
        app.answer = OK
    assert answer.startswith(b"http/1.1 " + status.lower())
    assert b"x-kept: 1\r\n" in answer
    assert b"x-slipway-" not in answer
    assert b"www-authenticate" not in answer
    assert b"forged" not in answer
    assert answer.count(b"\r\nx-request-id: ") == 1


def test_answers_of_the_router_keep_their_code(recorded: tuple[RouterUnderTest, Recorder]):
    running, _ = recorded
    answer = exchange(running.config.http_port, b"GET / HTTP/1.1\r\nHost: nobody.test\r\nX-Slipway-Code: H10\r\n\r\n")
    assert b"\r\nx-slipway-code: " + Code.UNKNOWN_HOST.encode() + b"\r\n" in answer


def test_the_instance_cookie_is_set_by_the_router_for_one_host_only(recorded: tuple[RouterUnderTest, Recorder]):
    """Check that the app neither receives nor sets the cookie.

    It has no Domain, so no other app receives it.
    """
    running, app = recorded
    running.router.set(replace(routes_to(app.endpoint), policy=Policy(sticky=True)))
    app.answer = OK.replace(b"\r\n\r\n", b"\r\nSet-Cookie: slipway-instance=forged; Domain=test\r\nSet-Cookie: own=1\r\n\r\n")
    try:
        answer = exchange(running.config.http_port, b"GET / HTTP/1.1\r\nHost: hello.test\r\n\r\n").decode()
        cookies = [line.partition(": ")[2] for line in answer.split("\r\n") if line.lower().startswith("set-cookie:")]
        (ours,) = (cookie for cookie in cookies if cookie.startswith("slipway-instance="))
        assert "forged" not in ours
        assert "domain" not in ours.lower()
        assert "HttpOnly" in ours
        assert "own=1" in cookies
        value = ours.partition(";")[0]
        assert seen(recorded, f"Cookie: a=1; {value}; b=2")["cookie"] == "a=1; b=2"
    finally:
        app.answer = OK
        running.router.set(routes_to(app.endpoint))


def test_trailers_stay_behind_the_body(recorded: tuple[RouterUnderTest, Recorder]):
    """Send a trailer. gRPC needs trailers, so they are passed on behind the body and not among the
    headers (RFC 9110, 6.5).
    """
    running, app = recorded
    app.take()
    head = b"POST / HTTP/1.1\r\nHost: hello.test\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    exchange(running.config.http_port, head + b"1\r\na\r\n0\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n")
    head, _, rest = app.take().partition(b"\r\n\r\n")
    assert b"x-forwarded-for: 127.0.0.1" in head
    assert b"6.6.6.6" not in head
    assert b"6.6.6.6" in rest


def test_a_frame_without_its_stream_is_not_a_request(recorded: tuple[RouterUnderTest, Recorder]):
    """Send HTTP/2's CONTINUATION without HEADERS, and DATA for a stream that does not exist."""
    running, app = recorded
    app.take()
    fields = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"hello.test")]
    preface = http2_request(fields)[:33]
    for odd in (frame(9, b"\x82", flags=4), frame(0, b"GET / HTTP/1.1\r\n\r\n", flags=1, stream=5)):
        exchange(running.config.http_port, preface + odd)
    assert app.take() == b""


TOLD = [
    "X-Forwarded-For: 1.1.1.1, 203.0.113.7",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Host: www.test",
    "CF-IPCountry: NZ",
    "X-Real-IP: 203.0.113.7",
]


def test_only_a_trusted_proxy_may_set_proxy_headers():
    with router_of_its_own(trusted_proxies=("127.0.0.0/30",), client_share=1) as running, Recorder() as app:
        running.router.set(replace(routes_to(app.endpoint), policy=Policy(allowed=(IPv4Network("203.0.113.0/24"),))))
        headers = seen((running, app), *TOLD, "X-Slipway-Code: H10", "Proxy: evil.test", "X-Request-Id: forged")
        assert headers["x-forwarded-for"] == "1.1.1.1, 203.0.113.7"
        assert (headers["x-forwarded-proto"], headers["x-forwarded-host"]) == ("https", "www.test")
        assert (headers["cf-ipcountry"], headers["x-real-ip"]) == ("NZ", "203.0.113.7")
        assert headers["x-request-id"] != "forged"
        assert not {"x-slipway-code", "proxy"} & headers.keys()
        text = "\r\n".join(["GET / HTTP/1.1", "Host: hello.test", *TOLD, "", ""]).encode()
        assert b"x-slipway-code: H43" in exchange(running.config.http_port, text, source="127.0.0.9")
        running.router.set(routes_to(app.endpoint))
        app.take()
        assert exchange(running.config.http_port, text, source="127.0.0.9").startswith(b"HTTP/1.1 200 ")
        headers = app.headers()
        assert headers["x-forwarded-for"] == "127.0.0.9"
        assert headers.items() >= {"x-forwarded-proto": "http", "x-forwarded-host": "hello.test"}.items()
        assert not {"cf-ipcountry", "x-real-ip"} & headers.keys()
        headers = seen((running, app))
        assert headers.items() >= ROUTERS.items(), "headers that the proxy does not send are added"
