"""Tests that neither an app's answer nor an untrusted proxy can imitate a header of the router."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network

import pytest

from runtime.contract.error_codes import Code
from runtime.router.policy import Policy
from tests.runtime.router.conftest import RouterUnderTest, router_of_its_own, routes_to
from tests.runtime.router.support.own_headers import ROUTERS, recorded, seen
from tests.runtime.router.support.recorder import OK, Recorder, exchange

__all__ = ["recorded"]

FORGED = {
    "a page of the router": b"X-Slipway-Page: 1",
    "a code of the router": b"X-Slipway-Code: H41",
    "the proof of a domain": b"X-Slipway-Domain: here",
    "any header of the router": b"x-slipway-anything: 1",
    "in capitals": b"X-SLIPWAY-PAGE: 1",
}


@pytest.mark.parametrize("line", FORGED.values(), ids=FORGED)
@pytest.mark.parametrize("status", [b"200 OK", b"404 Not Found", b"503 Service Unavailable"])
def test_an_answer_of_an_app_cannot_imitate_one_of_the_router(
    recorded: tuple[RouterUnderTest, Recorder], line: bytes, status: bytes
):
    running, app = recorded
    app.answer = OK.replace(b"200 OK", status).replace(
        b"\r\n\r\n", b"\r\n" + line + b"\r\nX-Request-Id: forged\r\nX-Kept: 1\r\n\r\n"
    )
    try:
        answer = exchange(
            running.config.http_port, b"GET / HTTP/1.1\r\nHost: hello.test\r\n\r\n"
        ).lower()
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
    answer = exchange(
        running.config.http_port,
        b"GET / HTTP/1.1\r\nHost: nobody.test\r\nX-Slipway-Code: H10\r\n\r\n",
    )
    assert b"\r\nx-slipway-code: " + Code.UNKNOWN_HOST.encode() + b"\r\n" in answer


def test_the_instance_cookie_is_set_by_the_router_for_one_host_only(
    recorded: tuple[RouterUnderTest, Recorder],
):
    """Check that the app neither receives nor sets the cookie.

    It has no Domain, so no other app receives it.
    """
    running, app = recorded
    running.router.set(replace(routes_to(app.endpoint), policy=Policy(sticky=True)))
    app.answer = OK.replace(
        b"\r\n\r\n",
        b"\r\nSet-Cookie: slipway-instance=forged; Domain=test\r\nSet-Cookie: own=1\r\n\r\n",
    )
    try:
        answer = exchange(
            running.config.http_port, b"GET / HTTP/1.1\r\nHost: hello.test\r\n\r\n"
        ).decode()
        cookies = [
            line.partition(": ")[2]
            for line in answer.split("\r\n")
            if line.lower().startswith("set-cookie:")
        ]
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


TOLD = [
    "X-Forwarded-For: 1.1.1.1, 203.0.113.7",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Host: www.test",
    "CF-IPCountry: NZ",
    "X-Real-IP: 203.0.113.7",
]


def test_only_a_trusted_proxy_may_set_proxy_headers():
    with (
        router_of_its_own(trusted_proxies=("127.0.0.0/30",), client_share=1) as running,
        Recorder() as app,
    ):
        running.router.set(
            replace(
                routes_to(app.endpoint), policy=Policy(allowed=(IPv4Network("203.0.113.0/24"),))
            )
        )
        headers = seen(
            (running, app), *TOLD, "X-Slipway-Code: H10", "Proxy: evil.test", "X-Request-Id: forged"
        )
        assert headers["x-forwarded-for"] == "1.1.1.1, 203.0.113.7"
        assert (headers["x-forwarded-proto"], headers["x-forwarded-host"]) == ("https", "www.test")
        assert (headers["cf-ipcountry"], headers["x-real-ip"]) == ("NZ", "203.0.113.7")
        assert headers["x-request-id"] != "forged"
        assert not {"x-slipway-code", "proxy"} & headers.keys()
        text = "\r\n".join(["GET / HTTP/1.1", "Host: hello.test", *TOLD, "", ""]).encode()
        assert b"x-slipway-code: H43" in exchange(
            running.config.http_port, text, source="127.0.0.9"
        )
        running.router.set(routes_to(app.endpoint))
        app.take()
        assert exchange(running.config.http_port, text, source="127.0.0.9").startswith(
            b"HTTP/1.1 200 "
        )
        headers = app.headers()
        assert headers["x-forwarded-for"] == "127.0.0.9"
        assert (
            headers.items()
            >= {
                "x-forwarded-proto": "http",
                "x-forwarded-host": "hello.test",
            }.items()
        )
        assert not {"cf-ipcountry", "x-real-ip"} & headers.keys()
        headers = seen((running, app))
        assert headers.items() >= ROUTERS.items(), "headers that the proxy does not send are added"
