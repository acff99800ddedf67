"""Tests of ambiguous requests over HTTP/1 and HTTP/2.

An ambiguous Host, target or header value gets 400, and the app does not receive the request.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from runtime.contract.error_codes import Code
from tests.runtime.router.conftest import RouterUnderTest, router_of_its_own, routes_to
from tests.runtime.router.support.recorder import Recorder, exchange, http2_request, http2_status

BAD_HOSTS = {
    "a list, the app last": b"a, hello.test",
    "a list, the app first": b"hello.test, a",
    "a list without spaces": b"a,hello.test",
    "a list of one": b",hello.test",
    "a list with the portal last": b"hello.test, localhost",
    "empty": b"",
    "NUL at the end": b"hello.test\0",
    "NUL inside": b"hello\0.test",
    "NUL and another name": b"hello.test\0.other.test",
    "a space inside": b"hello .test",
    "a tab inside": b"hello.test\tother",
    "two names": b"hello.test other.test",
    "a folded line": b"a\r\n hello.test",
    "a control character": b"hello.test\x0b",
    "DEL": b"hello.test\x7f",
    "two dots at the end": b"hello.test..",
    "a dot at the start": b".hello.test",
    "an empty label": b"hello..test",
    "a dot alone": b".",
    "user information": b"user@hello.test",
    "user information with the app as user": b"hello.test@other.test",
    "a port of letters": b"hello.test:http",
    "a port with junk": b"hello.test:80x",
    "a port and user information": b"hello.test:@other.test",
    "a port without digits": b"hello.test:",
    "two ports": b"hello.test:80:80",
    "a port of six digits": b"hello.test:100000",
    "a negative port": b"hello.test:-1",
    "a slash": b"hello.test/",
    "a path": b"hello.test/other",
    "a backslash": b"hello.test\\other",
    "a question mark": b"hello.test?",
    "a fragment": b"hello.test#other",
    "a percent sign": b"%68ello.test",
    "a URL": b"http://hello.test",
    "a bar, as in the router's records": b"hello.test|b00001",
    "the portal's own mark": b"@portal",
    "quotes": b'"hello.test"',
    "UTF-8": "héllo.test".encode(),
    "a full stop of Chinese": "hello\u3002test".encode(),
    "odd bytes": b"\xff\xfe.test",
    "255 characters": b"a." * 127 + b"b",
    "5,000 characters": b"a" * 5000,
    "an unclosed address": b"[::1",
    "letters in brackets": b"[hello.test]",
    "text after brackets": b"[::1]hello.test",
}
GOOD_HOSTS = {
    "as it is": b"hello.test",
    "upper case": b"HELLO.Test",
    "a port": b"hello.test:8080",
    "a port of zeros": b"hello.test:00080",
    "a dot at the end": b"hello.test.",
    "a dot and a port": b"hello.test.:80",
    "spaces around": b"  hello.test \t",
}
TARGETS = {  # request line and Host -> the target that the app receives, or None for a refusal
    "absolute, and Host agrees": (b"GET http://hello.test/v HTTP/1.1", b"hello.test", b"/v"),
    "absolute in capitals": (b"GET http://HELLO.test/v HTTP/1.1", b"hello.test", b"/v"),
    "absolute with the port of its scheme": (
        b"GET http://hello.test:80/v HTTP/1.1",
        b"hello.test",
        b"/v",
    ),
    "absolute with https": (b"GET https://hello.test/v?a=b HTTP/1.1", b"hello.test", b"/v?a=b"),
    "absolute without a path": (b"GET http://hello.test HTTP/1.1", b"hello.test", None),
    "absolute with a query alone": (b"GET http://hello.test?a=b HTTP/1.1", b"hello.test", None),
    "absolute, another Host": (b"GET http://hello.test/v HTTP/1.1", b"other.test", None),
    "absolute, another authority": (b"GET http://other.test/v HTTP/1.1", b"hello.test", None),
    "absolute, another port": (b"GET http://hello.test:81/v HTTP/1.1", b"hello.test", None),
    "absolute with user information": (
        b"GET http://other.test@hello.test/v HTTP/1.1",
        b"hello.test",
        None,
    ),
    "absolute with a backslash": (
        b"GET http://hello.test\\@other.test/v HTTP/1.1",
        b"hello.test",
        None,
    ),
    "absolute with an unknown scheme": (b"GET ftp://hello.test/v HTTP/1.1", b"hello.test", None),
    "CONNECT": (b"CONNECT hello.test:80 HTTP/1.1", b"hello.test:80", None),
    "CONNECT without a port": (b"CONNECT hello.test HTTP/1.1", b"hello.test", None),
    "CONNECT with a path": (b"CONNECT /v HTTP/1.1", b"hello.test", None),
    "CONNECT with a URL": (b"CONNECT http://hello.test/v HTTP/1.1", b"hello.test", None),
    "neither a path nor a URL": (b"GET v HTTP/1.1", b"hello.test", None),
    "an asterisk": (b"OPTIONS * HTTP/1.1", b"hello.test", b"*"),
    "a path that looks like a URL": (
        b"GET //other.test/v HTTP/1.1",
        b"hello.test",
        b"//other.test/v",
    ),
    "NUL in the path": (b"GET /v\0 HTTP/1.1", b"hello.test", None),
    "a byte of Latin-1 in the path": (b"GET /\xe9 HTTP/1.1", b"hello.test", None),
}
CONTROLS = [*range(9), 0x0B, 0x0C, *range(0x0E, 0x20), 0x7F]


@pytest.fixture(scope="module")
def recorded() -> Iterator[tuple[RouterUnderTest, Recorder]]:
    with router_of_its_own() as running, Recorder() as app:
        running.router.set(routes_to(app.endpoint))
        yield running, app


@contextmanager
def refused(recorded: tuple[RouterUnderTest, Recorder]) -> Iterator[int]:
    """Yield the router's port.

    The app must not receive anything that is sent there inside the block.
    """
    running, app = recorded
    app.take()
    yield running.config.http_port
    assert app.take() == b""


def assert_bad_request(answer: bytes) -> None:
    """Check for status 400, with our code, or without a code if HAProxy's parser refused the
    request.
    """
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 ")), answer[:200]
    assert answer.count(b"HTTP/1.") == 1
    assert (
        b"x-slipway-code" not in answer or b"x-slipway-code: " + Code.BAD_REQUEST.encode() in answer
    )


@pytest.mark.parametrize("host", BAD_HOSTS.values(), ids=BAD_HOSTS)
def test_an_invalid_host_is_refused(recorded: tuple[RouterUnderTest, Recorder], host: bytes):
    with refused(recorded) as port:
        assert_bad_request(
            exchange(port, b"GET / HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n")
        )


@pytest.mark.parametrize("host", GOOD_HOSTS.values(), ids=GOOD_HOSTS)
def test_a_valid_host_in_any_form_is_served(
    recorded: tuple[RouterUnderTest, Recorder], host: bytes
):
    running, app = recorded
    answer = exchange(
        running.config.http_port,
        b"GET / HTTP/1.1\r\nHost:" + host + b"\r\nConnection: close\r\n\r\n",
    )
    assert answer.startswith(b"HTTP/1.1 200 "), answer[:200]
    headers = app.headers()
    assert headers["host"] == headers["x-forwarded-host"] == host.strip().decode()


@pytest.mark.parametrize("version", [b"HTTP/1.1", b"HTTP/1.0"])
def test_a_request_without_host_is_refused(
    recorded: tuple[RouterUnderTest, Recorder], version: bytes
):
    with refused(recorded) as port:
        assert_bad_request(exchange(port, b"GET / " + version + b"\r\nConnection: close\r\n\r\n"))


def test_different_hosts_are_refused_and_equal_ones_are_merged(
    recorded: tuple[RouterUnderTest, Recorder],
):
    for first, second in (
        (b"hello.test", b"localhost"),
        (b"localhost", b"hello.test"),
        (b"hello.test", b"hello.test:80"),
    ):
        with refused(recorded) as port:
            assert_bad_request(
                exchange(
                    port,
                    b"GET / HTTP/1.1\r\nHost: "
                    + first
                    + b"\r\nX: y\r\nHost: "
                    + second
                    + b"\r\n\r\n",
                )
            )
    running, app = recorded
    twice = b"GET / HTTP/1.1\r\nHost: hello.test\r\nHost: hello.test\r\nConnection: close\r\n\r\n"
    assert exchange(running.config.http_port, twice).startswith(b"HTTP/1.1 200 ")
    assert app.take().lower().count(b"\r\nhost:") == 1


@pytest.mark.parametrize(("line", "host", "seen"), TARGETS.values(), ids=TARGETS)
def test_a_target_that_contradicts_host_is_refused(
    recorded: tuple[RouterUnderTest, Recorder], line: bytes, host: bytes, seen: bytes | None
):
    running, app = recorded
    app.take()
    answer = exchange(
        running.config.http_port, line + b"\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n"
    )
    request = app.take()
    if seen is None:
        assert_bad_request(answer)
        assert request == b""
    else:
        assert answer.startswith(b"HTTP/1.1 200 "), answer[:200]
        assert request.split(b"\r\n")[0].split(b" ")[1] == seen
        assert b"\r\nhost: hello.test\r\n" in request


@pytest.mark.parametrize("byte", CONTROLS, ids=[f"{byte:02x}" for byte in CONTROLS])
@pytest.mark.parametrize(
    "place", [b"X-A: a%cb", b"Cookie: %c", b"User-Agent: Mozilla%c", b"Authorization: Basic %cYQ=="]
)
def test_a_control_character_in_a_header_is_refused(
    recorded: tuple[RouterUnderTest, Recorder], byte: int, place: bytes
):
    with refused(recorded) as port:
        assert_bad_request(
            exchange(
                port,
                b"GET / HTTP/1.1\r\nHost: hello.test\r\n"
                + place % byte
                + b"\r\nConnection: close\r\n\r\n",
            )
        )


@pytest.mark.parametrize("text", [b"a\tb", "é".encode(), b"\xff\x80", b'"\\;,=', b""])
def test_valid_header_values_reach_the_app(recorded: tuple[RouterUnderTest, Recorder], text: bytes):
    running, app = recorded
    assert exchange(
        running.config.http_port,
        b"GET / HTTP/1.1\r\nHost: hello.test\r\nX-A: " + text + b"\r\n\r\n",
    ).startswith(b"HTTP/1.1 200 ")
    assert app.headers()["x-a"].encode("latin-1") == text


def test_headers_that_fill_the_buffer_are_checked_to_the_end(
    recorded: tuple[RouterUnderTest, Recorder],
):
    """Send about 15,000 bytes in 100 headers, which fit.

    A NUL behind them is detected, and so is a header that only the router may set.
    """
    running, app = recorded
    long = b"".join(b"X-%03d: %s\r\n" % (number, b"y" * 140) for number in range(94))
    start = b"GET / HTTP/1.1\r\nHost: hello.test\r\n" + long
    assert exchange(
        running.config.http_port, start + b"X-Real-IP: 6.6.6.6\r\nX-Last: z\r\n\r\n"
    ).startswith(b"HTTP/1.1 200 ")
    headers = app.headers()
    assert headers["x-last"] == "z"
    assert "x-real-ip" not in headers
    with refused(recorded) as port:
        assert_bad_request(exchange(port, start + b"X-Last: \0\r\n\r\n"))


FIELDS = [
    (b":method", b"GET"),
    (b":scheme", b"http"),
    (b":path", b"/v"),
    (b":authority", b"hello.test"),
]


def changed(**fields: bytes) -> list[tuple[bytes, bytes]]:
    """Return the fields of a valid request, with some values replaced."""
    return [(name, fields.get(name[1:].decode(), value)) for name, value in FIELDS]


BAD_HTTP2 = {
    "a list as authority": changed(authority=b"a, hello.test"),
    "user information": changed(authority=b"a@hello.test"),
    "a line break in the authority": changed(authority=b"hello.test\r\nx-evil: 1"),
    "a port of letters": changed(authority=b"hello.test:x"),
    "no authority": FIELDS[:3],
    "two authorities": [*FIELDS, (b":authority", b"localhost")],
    "a path with a request in it": changed(path=b"/v HTTP/1.1\r\nX-Evil: 1\r\n\r\nGET /hidden"),
    "a path with a space": changed(path=b"/v x"),
    "a path without a slash": changed(path=b"v"),
    "a URL as path": changed(path=b"http://other.test/v"),
    "an empty path": changed(path=b""),
    "a method with a request in it": changed(method=b"GET / HTTP/1.1\r\nX-Evil: 1\r\nX: "),
    "a method with a space": changed(method=b"GET /hidden"),
    "a URL as scheme": changed(scheme=b"http://other.test/x?"),
    "a line break in a value": [*FIELDS, (b"x-a", b"b\r\nx-forwarded-for: 6.6.6.6")],
    "LF in a value": [*FIELDS, (b"x-a", b"b\nx-evil: 1")],
    "CR in a value": [*FIELDS, (b"x-a", b"b\rx-evil: 1")],
    "NUL in a value": [*FIELDS, (b"x-a", b"b\0c")],
    "ESC in a value": [*FIELDS, (b"x-a", b"b\x1bc")],
    "a line break in a name": [*FIELDS, (b"x-a: b\r\nx-evil", b"1")],
    "a colon in a name": [*FIELDS, (b"x-real-ip:", b"6.6.6.6")],
    "a space in a name": [*FIELDS, (b"x a", b"1")],
    "capitals in a name": [*FIELDS, (b"X-Real-IP", b"6.6.6.6")],
    "an empty name": [*FIELDS, (b"", b"1")],
    "Connection": [*FIELDS, (b"connection", b"x-forwarded-for")],
    "Upgrade": [*FIELDS, (b"upgrade", b"h2c")],
    "Transfer-Encoding": [*FIELDS, (b"transfer-encoding", b"chunked")],
    "CONNECT": [(b":method", b"CONNECT"), (b":authority", b"hello.test:80")],
    "a pseudo header behind others": [FIELDS[0], (b"x-a", b"b"), *FIELDS[1:]],
}


@pytest.mark.parametrize("fields", BAD_HTTP2.values(), ids=BAD_HTTP2)
def test_http2_fields_that_http1_cannot_express_are_refused(
    recorded: tuple[RouterUnderTest, Recorder], fields: list[tuple[bytes, bytes]]
):
    with refused(recorded) as port:
        assert http2_status(exchange(port, http2_request(fields))) in ("400", "reset", "goaway")


def test_the_authority_has_precedence_over_host_in_http2(
    recorded: tuple[RouterUnderTest, Recorder],
):
    running, app = recorded
    for extra in ([], [(b"host", b"hello.test")], [(b"host", b"localhost")]):
        assert (
            http2_status(exchange(running.config.http_port, http2_request([*FIELDS, *extra])))
            == "200"
        )
        request = app.take()
        assert request.startswith(b"GET /v HTTP/1.1\r\n")
        assert request.count(b"host: hello.test\r\n") == 2, "Host and X-Forwarded-Host"
        assert b"localhost" not in request
