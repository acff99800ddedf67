"""A single-threaded web server on raw sockets, used as an app behind the router.

It can be slow, crash, stream and upgrade.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import threading
from collections import Counter
from typing import Self


class SampleApp:
    """App that serves on a free port of 127.0.0.1 inside the block.

    `hits` counts requests by path; `connections` counts connections.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.port = 0
        self.hits: Counter[str] = Counter()
        self.connections = 0  # all that were ever opened
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(5)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._server = self._loop.run_until_complete(
            asyncio.start_server(self._serve, "127.0.0.1", 0)
        )
        self.port = self._server.sockets[0].getsockname()[1]
        self._started.set()
        self._loop.run_forever()
        self._server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while await self._answer(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client disconnected
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, path, _ = head[0].split(" ", 2)
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in head[1:] if line)
        }
        self.hits[path] += 1
        if path == "/crash":
            writer.transport.abort()
            return False
        if path == "/tunnel":
            return await self._tunnel(reader, writer, headers["sec-websocket-key"])
        if path == "/garbage":
            writer.write(b"what is this?\r\n\r\n")
            await writer.drain()
            return False
        if path == "/huge-header":
            writer.write(b"HTTP/1.1 200 OK\r\nX-Huge: " + b"x" * 100_000 + b"\r\n\r\n")
            await writer.drain()
            return False
        if path == "/half":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nhalf of it")
            await writer.drain()
            return False
        if path.startswith("/wait/"):
            await asyncio.sleep(float(path.removeprefix("/wait/")))
        if path == "/events":
            return await self._events(writer)
        received = 0
        if "content-length" in headers:
            left = int(headers["content-length"])
            while left and (chunk := await reader.read(min(left, 65_536))):
                left, received = left - len(chunk), received + len(chunk)
                self.hits["bytes"] = received
        if path == "/slow":
            await asyncio.sleep(0.03)
        answer = {
            "name": self.name,
            "method": method,
            "path": path,
            "headers": headers,
            "received": received,
        }
        body = json.dumps(answer).encode()
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
            % len(body)
        )
        if method != "HEAD":
            writer.write(body)
        await writer.drain()
        return True

    async def _tunnel(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: str
    ) -> bool:
        """Serve the protocol of a WebSocket: an upgrade (RFC 6455, 4.2.2), then bytes in both
        directions.
        """
        accept = base64.b64encode(
            hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()
        )
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        )
        writer.write(b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
        while data := await reader.read(1024):
            writer.write(self.name.encode() + b":" + data)
            await writer.drain()
        return False

    async def _events(self, writer: asyncio.StreamWriter) -> bool:
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding:"
            b" chunked\r\n\r\n"
        )
        for _ in range(5):
            event = f"data: {self._loop.time()}\n\n".encode()  # CLOCK_MONOTONIC, as in the test
            writer.write(b"%x\r\n%s\r\n" % (len(event), event))
            await writer.drain()
            await asyncio.sleep(0.1)
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return False
