"""The duration of a route change: from the call to the first answer of the new endpoint.

The requests use an open connection.
"""

import http.client
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from runtime.config import NodeConfig
from runtime.router.router import Router
from runtime.router.routes import AppRoutes, Endpoint

APP = "slipway-bench-route"
SWITCHES = 50


def route_change(config: NodeConfig) -> list[float]:
    """Return the milliseconds of each switch between two endpoints of an app of this benchmark."""
    router, host = Router(config), f"{APP}.{config.base_domain}"
    with _endpoint(b"a") as first, _endpoint(b"b") as second:
        try:
            router.set(AppRoutes(app=APP, hosts=(host,), endpoints=(_named("a", first),)))
            connection = http.client.HTTPConnection(config.http_bind, config.http_port, timeout=5)
            assert _ask(connection, host) == b"a"
            times = []
            for number in range(SWITCHES):
                wanted, port = ((b"b", second), (b"a", first))[number % 2]
                begun = time.perf_counter()
                router.set(
                    AppRoutes(
                        app=APP,
                        hosts=(host,),
                        endpoints=(_named(f"{wanted.decode()}{number}", port),),
                    )
                )
                while _ask(connection, host) != wanted:
                    pass
                times.append((time.perf_counter() - begun) * 1000)
            return times
        finally:
            router.remove(APP)


def report(config: NodeConfig) -> str:
    times = route_change(config)
    return f"{statistics.median(times):.1f} ms median, {max(times):.1f} ms worst of {len(times)}"


def _named(instance: str, port: int) -> Endpoint:
    return Endpoint(instance=instance, address="127.0.0.1", port=port)


def _ask(connection: http.client.HTTPConnection, host: str) -> bytes:
    connection.request("GET", "/", headers={"Host": host})
    return connection.getresponse().read()


@contextmanager
def _endpoint(body: bytes) -> Iterator[int]:
    class Answer(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words: object) -> None:
            """Log nothing."""

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """Ignore closed connections: the router closes them when it removes their endpoint."""

    server = Quiet(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
