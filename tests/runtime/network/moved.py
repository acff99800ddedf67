"""Test registry over TLS that redirects all clients to another address.

It runs inside a namespace and uses the standard library only.

    moved.py PORT CERTIFICATE-WITH-KEY TARGET

Without a target, every path except /v2/ is answered with 404. The program prints `ready`, then the
path of each request.
"""

import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT, CERTIFICATE, TARGET = sys.argv[1:]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        print(self.path, flush=True)
        known = self.path == "/v2/"
        self.send_response(200 if known else 307 if TARGET else 404)
        if not known and TARGET:
            self.send_header("Location", TARGET + self.path)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET  # noqa: N815 - the standard library's names

    def log_message(self, *args: object) -> None:
        pass


server = ThreadingHTTPServer(("0.0.0.0", int(PORT)), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(CERTIFICATE)
server.socket = context.wrap_socket(server.socket, server_side=True)
print("ready", flush=True)
server.serve_forever()
