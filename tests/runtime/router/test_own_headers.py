"""Tests of headers that only the router may set.

It removes them from clients' requests and from apps' answers.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from runtime.router.config.headers import OWN_PREFIX, REMOVED
from runtime.router.policy import BasicAuth, Credential, Policy, credential_digest
from runtime.router.routes import Canary
from tests.runtime.router.conftest import RouterUnderTest, routes_to
from tests.runtime.router.support.own_headers import ROUTERS, recorded, seen
from tests.runtime.router.support.recorder import Recorder, exchange, frame, http2_request

__all__ = ["recorded"]

KNOWN = [  # headers of each group that are in use, in their usual spelling
    *(
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "X-Forwarded-Host",
        "X-Forwarded-Port",
        "X-Forwarded-User",
        "X-Forwarded-Prefix",
    ),
    *(
        "X-Forwarded",
        "X-Forwarded-Anything",
        "X-Forwarder-For",
        "X-Forward-For",
        "Forwarded",
        "Forwarded-For",
    ),
    *(
        "X-Real-IP",
        "X-Client-IP",
        "X-Cluster-Client-IP",
        "Client-IP",
        "True-Client-IP",
        "X-Originating-IP",
        "X-Remote-IP",
        "X-Remote-Addr",
    ),
    *(
        "CF-Connecting-IP",
        "CF-Connecting-IPv6",
        "CF-IPCountry",
        "CF-Visitor",
        "Fastly-Client-IP",
        "Fly-Client-IP",
        "X-ProxyUser-Ip",
    ),
    *(
        "X-Envoy-External-Address",
        "X-Appengine-User-IP",
        "X-Azure-ClientIP",
        "X-Original-Forwarded-For",
    ),
    *(
        "X-Original-URL",
        "X-Original-Host",
        "X-Rewrite-URL",
        "X-Host",
        "X-HTTP-Host-Override",
        "X-Scheme",
        "X-Url-Scheme",
    ),
    *(
        "Front-End-Https",
        "X-SSL-Client-Cert",
        "X-ARR-ClientCert",
        "X-Request-Id",
        "Proxy",
        "HTTP2-Settings",
    ),
    *(
        "X-Slipway-Page",
        "X-Slipway-Code",
        "X-Slipway-Domain",
        "X-Slipway-Preview",
        "X-Slipway-Anything",
    ),
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


@pytest.mark.parametrize("name", [*REMOVED, *KNOWN])
def test_a_header_of_proxies_or_of_the_router_is_removed(
    recorded: tuple[RouterUnderTest, Recorder], name: str
):
    name = f"{name}anything" if name.endswith("-") else name
    for written in (name, name.upper(), name.lower()):
        headers = seen(
            recorded, "X-Before: 1", f"{written}: 6.6.6.6", f"{written}: evil.test", "X-After: 1"
        )
        assert not [value for value in headers.values() if value in ("6.6.6.6", "evil.test")]
        assert headers.keys() == {"host", "x-before", "x-after", "x-request-id", *ROUTERS}
        assert headers.items() >= ROUTERS.items()


@pytest.mark.parametrize("name", [name for name in KNOWN if "-" in name])
def test_another_spelling_of_such_a_header_is_removed_too(
    recorded: tuple[RouterUnderTest, Recorder], name: str
):
    """Send other spellings.

    WSGI and CGI turn X_Real_IP, X-Real_IP and X-Real-IP into HTTP_X_REAL_IP.
    """
    for written in (name.replace("-", "_"), name.replace("-", "_", 1), name.replace("-", ".")):
        assert "6.6.6.6" not in seen(recorded, f"{written}: 6.6.6.6").values()


def test_similar_header_names_are_kept(recorded: tuple[RouterUnderTest, Recorder]):
    headers = seen(recorded, *(f"{name}: kept" for name in KEPT), "X-Real-IP: 6.6.6.6")
    assert {name for name, value in headers.items() if value == "kept"} == {
        name.lower() for name in KEPT
    }
    assert "x-real-ip" not in headers


@pytest.mark.parametrize(
    "name",
    [
        "x-real-ip",
        "x-forwarded-for",
        "true-client-ip",
        "x-slipway-anything",
        "proxy",
        "x-request-id",
    ],
)
def test_http2_does_not_bypass_the_removal(recorded: tuple[RouterUnderTest, Recorder], name: str):
    running, app = recorded
    app.take()
    fields = [
        (b":method", b"GET"),
        (b":scheme", b"http"),
        (b":path", b"/"),
        (b":authority", b"hello.test"),
        (name.encode(), b"6.6.6.6"),
    ]
    exchange(running.config.http_port, http2_request(fields))
    headers = app.headers()
    assert headers["host"] == "hello.test"
    assert "6.6.6.6" not in headers.values()


@pytest.mark.parametrize(
    "connection",
    [
        "close, X-Forwarded-For",
        "X-Forwarded-For, X-Forwarded-Host, X-Request-Id",
        "keep-alive, X-Forwarded-User",
        "x-forwarded-proto",
    ],
)
def test_a_client_cannot_list_headers_of_the_router_in_connection(
    recorded: tuple[RouterUnderTest, Recorder], connection: str
):
    """Send Connection with names of headers.

    Each proxy removes the headers that Connection names, also a proxy inside the app (RFC 9110,
    7.6.1).
    """
    headers = seen(recorded, f"Connection: {connection}")
    assert "connection" not in headers
    assert headers.items() >= ROUTERS.items()


@pytest.mark.parametrize(
    "upgrade", ["h2c", "H2C", "websocket, h2c", "h2c, websocket", "HTTP/2.0", "TLS/1.2"]
)
def test_a_connection_cannot_be_upgraded_past_the_router(
    recorded: tuple[RouterUnderTest, Recorder], upgrade: str
):
    """Send an upgrade to h2c.

    If the app agreed, it would receive all further bytes directly from the client: forged headers,
    without limits.
    """
    headers = seen(
        recorded,
        "Connection: Upgrade, HTTP2-Settings",
        f"Upgrade: {upgrade}",
        "HTTP2-Settings: AAMAAABk",
        WEBSOCKET_KEY,
    )
    assert not {"upgrade", "connection", "http2-settings"} & headers.keys()


def test_a_websocket_upgrade_lists_nothing_else_in_connection(
    recorded: tuple[RouterUnderTest, Recorder],
):
    headers = seen(
        recorded, "Connection: Upgrade, X-Forwarded-For", "Upgrade: websocket", WEBSOCKET_KEY
    )
    assert (headers["connection"].lower(), headers["upgrade"]) == ("upgrade", "websocket")
    assert headers.items() >= ROUTERS.items()


def test_the_name_of_a_signed_in_user_comes_from_the_router_only(
    recorded: tuple[RouterUnderTest, Recorder],
):
    running, app = recorded
    auth = BasicAuth(
        salt="salt",
        credentials=(Credential(name="ann", digest=credential_digest("salt", "ann", "secret")),),
    )
    routes = replace(routes_to(app.endpoint), policy=Policy(auth=auth))
    running.router.set(routes)
    try:
        headers = seen(
            recorded,
            "Authorization: Basic YW5uOnNlY3JldA==",
            "X-Forwarded-User: admin",
            "X_Forwarded_User: admin",
        )
        assert headers["x-forwarded-user"] == "ann"
        assert "authorization" not in headers
    finally:
        running.router.set(routes_to(app.endpoint))


def test_the_preview_token_works_and_is_not_sent_to_the_app(
    recorded: tuple[RouterUnderTest, Recorder],
):
    running, app = recorded
    with Recorder() as fresh:
        canary = replace(fresh.endpoint, instance="canary-1", canary=True)
        # A token for this test.
        running.router.set(
            replace(routes_to(app.endpoint, canary), canary=Canary(percent=0, token="lookout"))
        )
        try:
            app.take()
            text = (
                b"GET / HTTP/1.1\r\nHost: hello.test\r\nX-Slipway-Preview:"
                b" lookout\r\nX-Slipway-Other: 1\r\n\r\n"
            )
            exchange(running.config.http_port, text)
            headers = fresh.headers()
            assert headers["host"] == "hello.test"
            assert not [name for name in headers if name.startswith(OWN_PREFIX)]
            assert app.take() == b""
        finally:
            running.router.set(routes_to(app.endpoint))


def test_trailers_stay_behind_the_body(recorded: tuple[RouterUnderTest, Recorder]):
    """Send a trailer. gRPC needs trailers, so they are passed on behind the body and not among the
    headers (RFC 9110, 6.5).
    """
    running, app = recorded
    app.take()
    head = (
        b"POST / HTTP/1.1\r\nHost: hello.test\r\nTransfer-Encoding: chunked\r\nConnection:"
        b" close\r\n\r\n"
    )
    exchange(running.config.http_port, head + b"1\r\na\r\n0\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n")
    head, _, rest = app.take().partition(b"\r\n\r\n")
    assert b"x-forwarded-for: 127.0.0.1" in head
    assert b"6.6.6.6" not in head
    assert b"6.6.6.6" in rest


def test_a_frame_without_its_stream_is_not_a_request(recorded: tuple[RouterUnderTest, Recorder]):
    """Send HTTP/2's CONTINUATION without HEADERS, and DATA for a stream that does not exist."""
    running, app = recorded
    app.take()
    fields = [
        (b":method", b"GET"),
        (b":scheme", b"http"),
        (b":path", b"/"),
        (b":authority", b"hello.test"),
    ]
    preface = http2_request(fields)[:33]
    for odd in (frame(9, b"\x82", flags=4), frame(0, b"GET / HTTP/1.1\r\n\r\n", flags=1, stream=5)):
        exchange(running.config.http_port, preface + odd)
    assert app.take() == b""
