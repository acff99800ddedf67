"""A registry for tests that serves one image, with a selectable fault."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

MACHINE = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
LIST = "application/vnd.oci.image.index.v1+json"


class Server:
    """A registry that serves one image, with the fault that `mode` selects."""

    def __init__(self) -> None:
        self.mode, self.path, self.asked, self.blobs = "", "team/app", [], {}
        self.over = threading.Event()
        self.fill("hello")
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.answer(self)

            do_HEAD = do_GET  # noqa: N815 - the standard library's names

            def log_message(self, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.address = f"127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self.over.set()
        self.http.shutdown()
        self.http.server_close()

    def fill(self, text: str) -> None:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            header = tarfile.TarInfo("app/text")
            header.size = len(text)
            tar.addfile(header, io.BytesIO(text.encode()))
        layer = self._blob(gzip.compress(buffer.getvalue(), mtime=0))
        diff_id = f"sha256:{hashlib.sha256(buffer.getvalue()).hexdigest()}"
        config = self._blob(
            json.dumps(
                {
                    "architecture": MACHINE,
                    "os": "linux",
                    "config": {},
                    "rootfs": {"type": "layers", "diff_ids": [diff_id]},
                }
            ).encode()
        )
        self.layer = str(layer["digest"])
        self.manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **config},
                "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", **layer}],
            }
        ).encode()
        self.digest = f"sha256:{hashlib.sha256(self.manifest).hexdigest()}"

    def _blob(self, data: bytes) -> dict[str, object]:
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self.blobs[digest] = data
        return {"digest": digest, "size": len(data)}

    def answer(self, to: BaseHTTPRequestHandler) -> None:
        self.asked.append(to.path)
        if self.mode == "hangs":
            self.over.wait(30)
            return None
        if self.mode == "401":
            return self._send(to, 401, b"", {"WWW-Authenticate": 'Basic realm="tests"'})
        if self.mode in ("429", "500"):
            return self._send(to, int(self.mode), b"{}", {"Retry-After": "1"})
        if to.path == "/v2/":
            return self._send(to, 200, b"{}")
        if self.mode == "unknown" or not to.path.startswith(f"/v2/{self.path}/"):
            body = {
                "errors": [
                    {"code": "NAME_UNKNOWN", "message": "repository name not known to registry"}
                ]
            }
            return self._send(to, 404, json.dumps(body).encode())
        if "/manifests/" in to.path:
            return self._manifest(to)
        data = self.blobs.get(to.path.rpartition("/")[2])
        if data is None:
            return self._send(to, 404, b"{}")
        if to.path.endswith(self.layer) and self.mode == "half":
            to.send_response(200)
            to.send_header("Content-Length", str(len(data)))
            to.end_headers()
            to.wfile.write(data[: len(data) // 2])
            to.close_connection = True
            return None
        if to.path.endswith(self.layer) and self.mode == "lying blob":
            data = data[:-1] + bytes([data[-1] ^ 1])
        return self._send(to, 200, data)

    def _manifest(self, to: BaseHTTPRequestHandler) -> None:
        if self.mode == "other machine":
            entry = {
                "mediaType": MANIFEST,
                "digest": self.digest,
                "size": len(self.manifest),
                "platform": {"os": "linux", "architecture": "s390x"},
            }
            return self._send(
                to,
                200,
                json.dumps({"schemaVersion": 2, "mediaType": LIST, "manifests": [entry]}).encode(),
                {"Content-Type": LIST},
            )
        if self.mode == "not json":
            return self._send(to, 200, b"<html>welcome to the hotel", {"Content-Type": MANIFEST})
        return self._send(
            to, 200, self.manifest, {"Content-Type": MANIFEST, "Docker-Content-Digest": self.digest}
        )

    def _send(
        self,
        to: BaseHTTPRequestHandler,
        status: int,
        body: bytes,
        headers: dict[str, str] | None = None,
    ) -> None:
        to.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            to.send_header(name, value)
        to.end_headers()
        if to.command != "HEAD":
            to.wfile.write(body)


@pytest.fixture
def server() -> Iterator[Server]:
    registry = Server()
    yield registry
    if not registry.over.is_set():
        registry.stop()
