"""A constant load of new connections on a router, with the result of each: served, refused, or cut
by a killed HAProxy.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from typing import Self

CLIENTS = 4
REQUEST = b"GET / HTTP/1.1\r\nHost: hello.test\r\nConnection: close\r\n\r\n"


class Load:
    """Clients that open a new connection for each request."""

    def __init__(self, port: int, clients: int = CLIENTS) -> None:
        self.seen, self.longest, self._port, self._stop = (
            Counter[str](),
            0.0,
            port,
            threading.Event(),
        )
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(clients)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _ask(self) -> None:
        while not self._stop.is_set():
            begun = time.monotonic()
            outcome = one_request(self._port)
            self.seen[outcome] += 1
            if outcome == "200":
                self.longest = max(self.longest, time.monotonic() - begun)

    def describe(self) -> str:
        asked, seen = sum(self.seen.values()), self.seen
        return (
            f"{asked} requests, {seen['refused']} refused, {seen['cut']} cut in mid-request,"
            f" {asked - seen['200'] - seen['refused'] - seen['cut']} other failures, longest wait"
            f" {self.longest:.2f} s"
        )


def one_request(port: int) -> str:
    """Return the status code, `refused` or `cut`.

    `refused` means that there was no connection. `cut` means that HAProxy accepted it and was
    killed before the answer.
    """
    try:
        connection = socket.create_connection(("127.0.0.1", port), 30)
    except ConnectionRefusedError:
        return "refused"
    with connection:
        try:
            connection.sendall(REQUEST)
            line = connection.makefile("rb").readline()
        except (ConnectionResetError, BrokenPipeError):
            return "cut"
        return line.split()[1].decode() if line else "cut"
