"""Tests of the readiness request, and of answers that try to delay the client."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from runtime.converge.probing.probe_network import ask


@contextmanager
def instance(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """Serve one connection with this answer, and return the port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):
                connection, _ = server.accept()
                with connection, suppress(OSError):
                    connection.recv(4096)
                    answer(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
    thread.join(5)


def dribble(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200")
    while True:
        connection.sendall(b"x")
        time.sleep(0.05)


def interim(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        time.sleep(0.01)


def flood(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"x" * 65_536)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", 200),
        (b"HTTP/1.0 404\r\n", 404),
        (
            (
                b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\nHTTP/1.1 301 Moved\r\nLocation:"
                b" /b\r\n\r\n"
            ),
            301,
        ),
        (b"SSH-2.0-OpenSSH\r\n", None),
        (b"", None),
    ],
)
def test_the_status_of_the_final_answer_is_returned(sent: bytes, status: int | None) -> None:
    with instance(lambda connection: connection.sendall(sent)) as port:
        answer = ask("127.0.0.1", port, "a.example", "/")
    assert answer.status == status
    assert bool(answer.trouble) == (status is None)


@pytest.mark.parametrize("answer", [dribble, interim, flood, lambda connection: time.sleep(2)])
def test_no_answer_delays_the_client_beyond_the_deadline(
    answer: Callable[[socket.socket], None],
) -> None:
    with instance(answer) as port:
        began = time.monotonic()
        got = ask("127.0.0.1", port, "a.example", "/", patience=0.5)
        assert time.monotonic() - began < 1
    assert got.status is None


def test_a_closed_port_refuses_the_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert ask("127.0.0.1", port, "a.example", "/").trouble == "was refused"
