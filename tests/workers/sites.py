"""Web servers on port 80 of their own addresses: one with a fixed response, one that forwards to
the router.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

from tests.runtime.router.conftest import RouterUnderTest


class Site:
    """A web server on port 80 of its own address. It always sends the same response."""

    def __init__(
        self, status: int = 200, body: bytes = b"", *, drip: bool = False, location: str = ""
    ) -> None:
        numbers = (secrets.randbelow(200) + 20, secrets.randbelow(250), secrets.randbelow(250) + 1)
        self.address = ".".join(map(str, (127, *numbers)))
        self.asked: list[tuple[str, str]] = []
        site = self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked.append((self.headers["Host"], self.path))
                self.send_response(status)
                if location:
                    self.send_header("Location", location)
                self.end_headers()
                while drip:
                    try:
                        self.wfile.write(b"x")
                    except OSError:
                        return
                    time.sleep(0.2)
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Write no log."""

        self._server = ThreadingHTTPServer((self.address, 80), Answer)
        self._server.daemon_threads = True

    def __enter__(self) -> Self:
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        ).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def forwarding(front: RouterUnderTest) -> Iterator[str]:
    """Yield an address whose port 80 forwards every request to our router."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = front.get(self.path, host=self.headers["Host"])
            self.send_response(answer.status_code)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.content)

        def log_message(self, *_: object) -> None:
            """Write no log."""

    address = f"127.{secrets.randbelow(200) + 20}.7.7"
    server = ThreadingHTTPServer((address, 80), Answer)
    threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
    ).start()
    try:
        yield address
    finally:
        server.shutdown()
        server.server_close()
