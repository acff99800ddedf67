"""Tests of request smuggling through the router to real servers: gunicorn and Node.js. No server
finds the hidden second request.

Each vector has its expected result: the router refuses the request, or the server receives one
request with one body.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from runtime.router.policy import Policy
from runtime.router.routes import AppRoutes, Endpoint
from tests.runtime.router.conftest import RouterUnderTest, free_port, router_of_its_own, wait_for
from tests.runtime.router.support.recorder import Recorder, exchange, http2_request, http2_status

# Each server returns the requests that it has received, except those for /seen.
GUNICORN = """
import json
SEEN = []
def application(environ, start):
    if environ["PATH_INFO"] != "/seen":
        body = environ["wsgi.input"].read()
        SEEN.append([environ["REQUEST_METHOD"], environ["PATH_INFO"], body.decode("latin-1")])
    start("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(SEEN).encode()]
"""
NODE = """
const seen = []
require("http").createServer((request, answer) => {
  const parts = []
  request.on("data", part => parts.push(part))
  request.on("end", () => {
    if (request.url !== "/seen") seen.push([request.method, request.url, Buffer.concat(parts).toString("latin1")])
    answer.end(JSON.stringify(seen))
  })
}).listen(Number(process.argv[1]), "127.0.0.1")
"""  # noqa: E501
HOST = b"Host: %s.test\r\n"
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: %s.test\r\n\r\n"
POST = b"POST /v HTTP/1.1\r\n" + HOST
CHUNKED = b"Transfer-Encoding: chunked\r\n"
EMPTY = b"0\r\n\r\n"
# The bytes, with %s for the app's name, and the body that the server receives. The body is None if
# the router refuses the request.
VECTORS: dict[str, tuple[bytes, bytes | None]] = {
    "CL and TE, the chunks end first": (
        POST + b"Content-Length: 6\r\n" + CHUNKED + b"Connection: close\r\n\r\n" + EMPTY + HIDDEN,
        b"",
    ),
    "TE and CL, the length ends first": (
        POST
        + CHUNKED
        + b"Content-Length: 4\r\nConnection: close\r\n\r\n"
        + b"3\r\nabc\r\n"
        + EMPTY,
        b"abc",
    ),
    "CL and a list of TE": (
        POST
        + b"Content-Length: 6\r\nTransfer-Encoding: chunked, identity\r\n\r\n"
        + EMPTY
        + HIDDEN,
        None,
    ),
    "two lengths": (POST + b"Content-Length: 0\r\nContent-Length: 44\r\n\r\n" + HIDDEN, None),
    "two lengths in a list": (POST + b"Content-Length: 0, 44\r\n\r\n" + HIDDEN, None),
    "two equal lengths": (
        POST + b"Content-Length: 3\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc" + HIDDEN,
        b"abc",
    ),
    "a signed length": (POST + b"Content-Length: +3\r\n\r\nabc" + HIDDEN, None),
    "a negative length": (POST + b"Content-Length: -1\r\n\r\n" + HIDDEN, None),
    "a length in hex": (POST + b"Content-Length: 0x3\r\n\r\nabc" + HIDDEN, None),
    "a length with an underscore": (POST + b"Content-Length: 1_0\r\n\r\n" + HIDDEN, None),
    "a length with a space inside": (POST + b"Content-Length: 1 0\r\n\r\n" + HIDDEN, None),
    "a length of 2**64 + 3": (
        POST + b"Content-Length: 18446744073709551619\r\n\r\nabc" + HIDDEN,
        None,
    ),
    "a length of 19 digits": (
        POST + b"Content-Length: 0000000000000000003\r\n\r\nabc" + HIDDEN,
        None,
    ),
    "a length of 2**64 + 3 behind spaces": (
        POST + b"Content-Length:   18446744073709551619  \r\n\r\nabc" + HIDDEN,
        None,
    ),
    "an empty length": (POST + b"Content-Length:\r\n\r\n" + HIDDEN, None),
    "a length with a form feed": (POST + b"Content-Length: \x0c3\r\n\r\nabc" + HIDDEN, None),
    "TE unknown": (
        POST + b"Transfer-Encoding: xchunked\r\nContent-Length: 3\r\n\r\nabc" + HIDDEN,
        None,
    ),
    "TE identity": (
        POST + b"Transfer-Encoding: identity\r\nContent-Length: 3\r\n\r\nabc" + HIDDEN,
        None,
    ),
    "TE twice in a list": (
        POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n" + EMPTY + HIDDEN,
        None,
    ),
    "TE chunked, then another": (
        POST + CHUNKED + b"Transfer-Encoding: x\r\n\r\n" + EMPTY + HIDDEN,
        None,
    ),
    "TE with NUL": (
        POST + b"Transfer-Encoding: chunked\0\r\nContent-Length: 3\r\n\r\n" + EMPTY + HIDDEN,
        None,
    ),
    "TE with a vertical tab": (
        POST + b"Transfer-Encoding: \x0bchunked\r\nContent-Length: 3\r\n\r\nabc" + HIDDEN,
        None,
    ),
    "TE with quotes": (
        POST + b'Transfer-Encoding: "chunked"\r\nContent-Length: 3\r\n\r\nabc' + HIDDEN,
        None,
    ),
    "TE with a parameter": (
        POST + b"Transfer-Encoding: chunked;q=1\r\nContent-Length: 3\r\n\r\nabc" + HIDDEN,
        None,
    ),
    "TE with a space before its colon": (
        POST + b"Transfer-Encoding : chunked\r\nContent-Length: 3\r\n\r\nabc" + HIDDEN,
        None,
    ),
    "TE with a tab before its colon": (
        POST + b"Transfer-Encoding\t: chunked\r\nContent-Length: 3\r\n\r\nabc" + HIDDEN,
        None,
    ),
    "TE with an underscore": (
        POST
        + b"Transfer_Encoding: chunked\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc"
        + HIDDEN,
        b"abc",
    ),
    "CL with an underscore": (
        POST + b"Content_Length: 44\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc" + HIDDEN,
        b"abc",
    ),
    "TE behind a bare CR": (
        POST + b"X: y\rTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc" + HIDDEN,
        None,
    ),
    "TE behind a bare LF": (
        POST
        + b"X: y\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n"
        + EMPTY
        + HIDDEN,
        b"abc",
    ),
    "TE on a folded line": (
        POST
        + b"Transfer-Encoding:\r\n chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n"
        + EMPTY
        + HIDDEN,
        b"abc",
    ),
    "TE folded into another header": (
        POST + b"X: y\r\n Transfer-Encoding: chunked\r\nContent-Length: 3\r\nConnection:"
        b" close\r\n\r\nabc",
        b"abc",
    ),
    "TE in HTTP/1.0": (
        b"POST /v HTTP/1.0\r\n" + HOST + CHUNKED + b"Content-Length: 3\r\n\r\nabc" + HIDDEN,
        None,
    ),
    "a folded line in front": (
        b"POST /v HTTP/1.1\r\n X: y\r\n" + HOST + b"Content-Length: 3\r\n\r\nabc" + HIDDEN,
        None,
    ),
    "an extension of a chunk": (
        POST + CHUNKED + b'Connection: close\r\n\r\n3;a="b;\t"\r\nabc\r\n' + EMPTY + HIDDEN,
        b"abc",
    ),
    "a bare LF in an extension": (
        POST + CHUNKED + b"Connection: close\r\n\r\n2;a\nxx\r\n" + EMPTY + HIDDEN,
        b"xx",
    ),
    "a bare CR in an extension": (POST + CHUNKED + b"\r\n2;a\rxx\r\n4c\r\n" + EMPTY + HIDDEN, None),
    "a bare LF behind a chunk's size": (
        POST + CHUNKED + b"Connection: close\r\n\r\n3\nabc\r\n" + EMPTY + HIDDEN,
        b"abc",
    ),
    "a bare LF behind a chunk": (
        POST + CHUNKED + b"Connection: close\r\n\r\n3\r\nabc\n" + EMPTY + HIDDEN,
        b"abc",
    ),
    "a chunk longer than its size": (
        POST + CHUNKED + b"\r\n3\r\nabcdef\r\n" + EMPTY + HIDDEN,
        None,
    ),
    "a negative chunk": (POST + CHUNKED + b"\r\n-3\r\nabc\r\n" + EMPTY + HIDDEN, None),
    "a chunk in 0x": (POST + CHUNKED + b"\r\n0x3\r\nabc\r\n" + EMPTY + HIDDEN, None),
    "a chunk of 2**64 + 3": (
        POST + CHUNKED + b"\r\n10000000000000003\r\nabc\r\n" + EMPTY + HIDDEN,
        None,
    ),
    "an empty size": (POST + CHUNKED + b"\r\n\r\n" + EMPTY + HIDDEN, None),
    "a trailer": (
        POST + CHUNKED + b"Connection: close\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n" + HIDDEN,
        b"abc",
    ),
    "Expect and a length of 0": (
        POST + b"Expect: 100-continue\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" + HIDDEN,
        b"",
    ),
    "a second request in a header's value": (
        POST + b"Content-Length: 0\r\nX: y\r\r\n\r\n" + HIDDEN,
        None,
    ),
    "a second request in the path": (b"GET /v\r\n\r\n" + HIDDEN, None),
    "a body of a GET": (
        b"GET /v HTTP/1.1\r\n"
        + HOST
        + b"Content-Length: 3\r\nConnection: close\r\n\r\nabc"
        + HIDDEN,
        b"abc",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A real server behind the router, as the app `name`."""

    name: str
    port: int
    running: RouterUnderTest

    def seen(self) -> list[list[str]]:
        """Return method, path and body of each request so far."""
        return json.loads(httpx.get(f"http://127.0.0.1:{self.port}/seen", trust_env=False).content)


@pytest.fixture(scope="module", params=["gunicorn", "node"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """Run the server with connections that are kept.

    The remains of one request on a connection would affect the next.
    """
    name, port = request.param, free_port()
    program = (
        (Path(sys.executable).parent / name)
        if name == "gunicorn"
        else Path(shutil.which(name) or name)
    )
    folder = tmp_path_factory.mktemp(name)
    (folder / "app.py").write_text(GUNICORN)
    commands = {
        "gunicorn": [
            program,
            "app:application",
            "--bind",
            f"127.0.0.1:{port}",
            "--threads=4",
            "--no-control-socket",
            "--log-level=critical",
        ],
        "node": [program, "-e", NODE, str(port)],
    }
    with router_of_its_own() as running:
        process = subprocess.Popen(commands[name], cwd=folder)
        try:
            started = Server(name=name, port=port, running=running)
            wait_for(lambda: answers(started))
            end = Endpoint(instance=f"{name}-1", address="127.0.0.1", port=port)
            running.router.set(
                AppRoutes(
                    app=name,
                    hosts=(f"{name}.test",),
                    endpoints=(end,),
                    policy=Policy(keep_alive=True),
                )
            )
            yield started
        finally:
            process.terminate()
            process.wait()


def answers(server: Server) -> bool:
    try:
        return server.seen() == []
    except httpx.TransportError:
        return False


@pytest.mark.parametrize("vector", VECTORS)
def test_a_hidden_request_is_never_found(server: Server, vector: str):
    text, body = VECTORS[vector]
    before = len(server.seen())
    answer = exchange(
        server.running.config.http_port, text.replace(b"%s", server.name.encode()), quiet=0.2
    )
    statuses = [
        line.split(b" ")[1] for line in answer.split(b"\r\n") if line.startswith(b"HTTP/1.")
    ]
    finals = [status for status in statuses if status != b"100"]
    time.sleep(0.02)
    seen = server.seen()[before:]
    assert not [request for request in seen if request[1] == "/hidden"]
    if body is None:
        assert [status for status in finals if status not in (b"400", b"422", b"501")] == [], (
            answer[:300]
        )
        assert len(finals) == 1, answer[:300]
        assert seen == []
    else:
        assert finals == [b"200"], answer[:300]
        assert [request[1:] for request in seen] == [["/v", body.decode()]]
    clean = httpx.get(
        server.running.url("/clean"), headers={"Host": f"{server.name}.test"}, trust_env=False
    )
    assert clean.json()[-1][:2] == [
        "GET",
        "/clean",
    ], "the next request was mixed with remaining bytes"


HTTP2 = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/v")]
LENGTHS = {
    "a length of 0 and a body": [(b"content-length", b"0")],
    "a length that is too small": [(b"content-length", b"3")],
    "a length that is too large": [(b"content-length", b"300")],
    "two lengths": [(b"content-length", b"0"), (b"content-length", b"44")],
    "TE": [(b"transfer-encoding", b"chunked")],
    "a length of 2**64 and that of the body": [
        (b"content-length", str(2**64 + len(HIDDEN) - 2 + len("node")).encode())
    ],
    "TE and a length": [(b"transfer-encoding", b"chunked"), (b"content-length", b"0")],
}


@pytest.mark.parametrize("extra", LENGTHS.values(), ids=LENGTHS)
def test_an_http2_length_that_differs_from_the_body_is_refused(
    server: Server, extra: list[tuple[bytes, bytes]]
):
    name = server.name.encode()
    before = len(server.seen())
    fields = [*HTTP2, (b":authority", name + b".test"), *extra]
    answer = exchange(
        server.running.config.http_port,
        http2_request(fields, HIDDEN.replace(b"%s", name)),
        quiet=0.2,
    )
    assert http2_status(answer) in ("400", "reset", "goaway")
    assert [request for request in server.seen()[before:] if request[1] == "/hidden"] == []


def test_an_http2_body_reaches_the_server_complete_and_alone(server: Server):
    name, before = server.name.encode(), len(server.seen())
    hidden = HIDDEN.replace(b"%s", name)
    answer = exchange(
        server.running.config.http_port,
        http2_request([*HTTP2, (b":authority", name + b".test")], hidden),
        quiet=0.2,
    )
    assert http2_status(answer) == "200"
    assert server.seen()[before:] == [["POST", "/v", hidden.decode()]]


@pytest.mark.parametrize("status", [b"200 OK", b"426 Upgrade Required", b"400 Bad Request"])
def test_an_upgrade_that_the_app_refuses_opens_no_tunnel(status: bytes):
    """Send a second request behind the upgrade.

    The router reads it as a request, and removes its forged header.
    """
    with router_of_its_own() as running, Recorder() as app:
        app.answer = b"HTTP/1.1 " + status + b"\r\nContent-Length: 2\r\n\r\nok"
        running.router.set(AppRoutes(app="hello", hosts=("hello.test",), endpoints=(app.endpoint,)))
        upgrade = (
            b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version:"
            b" 777\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        second = (
            b"GET /second HTTP/1.1\r\nHost: hello.test\r\nX-Real-IP: 6.6.6.6\r\nX-Forwarded-For:"
            b" 6.6.6.6\r\nConnection: close\r\n\r\n"
        )
        exchange(
            running.config.http_port, b"GET / HTTP/1.1\r\nHost: hello.test\r\n" + upgrade + second
        )
        assert b"6.6.6.6" not in app.take()
