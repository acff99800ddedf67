"""An app that records all bytes it receives, and a client that sends raw bytes.

Together they show exactly what a router forwards.
"""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from typing import Self

from hpack import Decoder, Encoder

from runtime.router.routes import Endpoint

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
# Followed by an empty SETTINGS frame (RFC 9113, 3.4)
HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0\0\0\0\0"
DATA, HEADERS, RST_STREAM, SETTINGS, GOAWAY = 0, 1, 3, 4, 7
END_STREAM, END_HEADERS = 1, 4


class Recorder:
    """Server on a free port of 127.0.0.1 inside the block.

    It answers each request head with `answer` and does not parse bodies.
    """

    def __init__(self, answer: bytes = OK) -> None:
        self.answer = answer
        self._seen: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=100)

    def __enter__(self) -> Self:
        threading.Thread(target=self._run, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(
            instance="recorder-1", address="127.0.0.1", port=self._listener.getsockname()[1]
        )

    def take(self) -> bytes:
        """Return all bytes that arrived since the last call."""
        time.sleep(0.02)  # the last bytes may still be in transit
        taken, self._seen[:] = b"".join(self._seen), []
        return taken

    def headers(self) -> dict[str, str]:
        """Return the header names and values of the only request since the last call."""
        head, _, _ = self.take().partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")[1:]
        return {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }

    def _run(self) -> None:
        with suppress(OSError):  # closed
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.settimeout(5)
            while data := connection.recv(65_536):
                self._seen.append(data)
                if b"\r\n\r\n" in data:
                    connection.sendall(self.answer)


def exchange(port: int, text: bytes, *, quiet: float = 0.4, source: str = "127.0.0.1") -> bytes:
    """Send the text. Return the answer when the other side closes or sends nothing for a while."""
    answer = b""
    with (
        socket.create_connection(("127.0.0.1", port), 10, source_address=(source, 0)) as connection,
        suppress(OSError),
    ):  # the server may answer and close before it has read everything
        connection.sendall(text)
        connection.settimeout(3)
        while data := connection.recv(65_536):
            answer += data
            connection.settimeout(quiet)
    return answer


def frame(kind: int, payload: bytes, *, flags: int = 0, stream: int = 1) -> bytes:
    """Return one HTTP/2 frame (RFC 9113, 4.1)."""
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


def http2_request(fields: list[tuple[bytes, bytes]], body: bytes | None = None) -> bytes:
    """Return a connection with one request. Its fields are neither checked nor reordered."""
    packed = Encoder().encode(fields, huffman=False)
    head = frame(HEADERS, packed, flags=END_HEADERS | (END_STREAM if body is None else 0))
    return HTTP2_PREFACE + head + (frame(DATA, body, flags=END_STREAM) if body is not None else b"")


def http2_status(answer: bytes) -> str:
    """Return the status of the answer, or `reset`, `goaway` or `nothing`."""
    outcome, decoder = "nothing", Decoder()
    while len(answer) >= 9:
        size, kind = int.from_bytes(answer[:3]), answer[3]
        payload, answer = answer[9 : 9 + size], answer[9 + size :]
        if kind == HEADERS:
            return str(dict(decoder.decode(payload))[":status"])
        outcome = {RST_STREAM: "reset", GOAWAY: "goaway"}.get(kind, outcome)
    return outcome
