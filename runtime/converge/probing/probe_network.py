"""Health checks over the network: one GET on the health path like a client, or a TCP connection.

The instance is untrusted. It may send anything, without end, one byte at a time. So the whole check
has one deadline, and only the status line is read. A client library's timeout applies to each read,
and a blocked checker would delay the checks of all other apps.
"""

from __future__ import annotations

import re
import socket
import time
from typing import Protocol

from runtime.converge.explain import ProbeAnswer

PATIENCE = 5.0  # seconds for one answer; the first request may have to fill caches


class Ask(Protocol):
    """`ask`, or another in a test."""

    def __call__(
        self, address: str, port: int, host: str, path: str, *, patience: float = PATIENCE
    ) -> ProbeAnswer: ...


class Connect(Protocol):
    """`connect`, or another in a test."""

    def __call__(self, address: str, port: int, *, patience: float = PATIENCE) -> ProbeAnswer: ...


_MOST = 65_536  # bytes, of interim answers and the status line
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5]\d\d)(?: [^\r\n]*)?\r?\n")
_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")


def ask(
    address: str, port: int, host: str, path: str, *, patience: float = PATIENCE
) -> ProbeAnswer:
    """Send GET `path` with `host` in the Host header.

    Redirects are not followed: a 301 is an answer.
    """
    deadline = time.monotonic() + patience
    try:
        with socket.create_connection((address, port), timeout=patience) as connection:
            connection.sendall(_request(host, path))
            status = _read_status(connection, deadline)
    except ConnectionRefusedError:
        return ProbeAnswer(trouble="was refused")
    except TimeoutError:
        return ProbeAnswer(trouble=f"got no answer within {patience:.0f} s")
    except OSError as error:
        return ProbeAnswer(trouble=f"ended without an HTTP answer ({type(error).__name__})")
    return (
        ProbeAnswer(status=status)
        if status
        else ProbeAnswer(trouble="ended without an HTTP answer")
    )


def connect(address: str, port: int, *, patience: float = PATIENCE) -> ProbeAnswer:
    """Check whether the port accepts a connection."""
    try:
        socket.create_connection((address, port), timeout=patience).close()
    except ConnectionRefusedError:
        return ProbeAnswer(trouble="was refused")
    except TimeoutError:
        return ProbeAnswer(trouble=f"got no answer within {patience:.0f} s")
    except OSError as error:
        return ProbeAnswer(trouble=f"failed ({type(error).__name__})")
    return ProbeAnswer(passed=True)


def _request(host: str, path: str) -> bytes:
    lines = (
        f"GET {path} HTTP/1.1",
        f"Host: {host}",
        "User-Agent: slipway-health/1",
        "Accept: */*",
        "Connection: close",
        "",
        "",
    )
    return "\r\n".join(lines).encode("latin-1")


def _read_status(connection: socket.socket, deadline: float) -> int | None:
    """Return the final status after interim ones (RFC 9110, 15.2).

    None if it is too long or not HTTP.
    """
    data = b""
    while len(data) < _MOST:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        connection.settimeout(left)
        if not (chunk := connection.recv(4096)):
            return None
        data += chunk
        while b"\n" in data:
            if (match := _STATUS.match(data)) is None:
                return None
            if not match[1].startswith(b"1") or match[1] == b"101":
                return int(match[1])
            if (end := _END_OF_HEAD.search(data)) is None:
                break
            data = data[end.end() :]
    return None
