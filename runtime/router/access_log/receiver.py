"""Receiver of HAProxy's access log; it counts the lines and passes each app's lines on.

There is one per router host. HAProxy keeps the last lines in a ring buffer and sends them over a
stream. So a collector that is away for a while misses no line that is still in the ring. The
collector never blocks HAProxy: it counts and drops lines that it cannot deliver.

The stream is TCP. HAProxy (2.6) retries a refused Unix socket in a busy loop that uses a whole
core, but a TCP port only once a second. Any user of the host can connect to a port, so the
collector accepts only HAProxy's connections.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import pwd
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from runtime.config import NodeConfig
from runtime.errors import RuntimeFailure
from runtime.router.access_log.line import AccessLine, parse
from runtime.router.access_log.metrics import Metrics
from runtime.router.config.render import PORTAL

log = logging.getLogger(__name__)
_READ = 262_144  # bytes
_RETRY_SECONDS = 2.0  # seconds between two attempts to listen on an address that is in use
_CLOSE_TIMEOUT = 5.0  # seconds for HAProxy to close after our shutdown


class AccessLogReceiver:
    """Server on `config.access_address` between `start` and `stop`, on the running event loop.

    `deliver` gets the lines of one app in the order of their end, in a separate thread. Without it,
    lines are only counted.
    """

    def __init__(
        self, config: NodeConfig, deliver: Callable[[str, Sequence[AccessLine]], None] | None = None
    ) -> None:
        self.metrics = Metrics()
        self._config = config
        self._deliver = deliver
        self._accepted_users = {0, os.geteuid(), *_user(config.user)}
        self._server: asyncio.Server | None = None
        self._listen_task: asyncio.Task[None] | None = None
        self._readers: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def start(self) -> None:
        """Listen, now or once the address is free.

        HAProxy connects by itself within two seconds.
        """
        if not await self._try_to_listen():
            host, port = self._config.access_address
            log.error(
                "The address %s:%d, where the router sends its access log, is in use: requests are"
                " neither counted nor logged. Stop the process that listens there (`ss -ltnp sport"
                " = %d` shows it), or set SLIPWAY_RUN to another folder.",
                host,
                port,
                port,
            )
            self._listen_task = asyncio.create_task(self._listen_when_free())

    async def _try_to_listen(self) -> bool:
        host, port = self._config.access_address
        try:
            self._server = await asyncio.start_server(
                self._connected, host, port, limit=_READ, reuse_address=True
            )
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return False
        return True

    async def _listen_when_free(self) -> None:
        while True:
            await asyncio.sleep(_RETRY_SECONDS)
            if await self._try_to_listen():
                break
        log.info("The address of the access log is free; requests are counted again.")

    async def stop(self) -> None:
        """Receive all lines that were sent, then stop.

        Later lines wait in HAProxy's ring for the next collector.
        """
        if self._listen_task is not None:
            self._listen_task.cancel()
        if self._server is not None:
            self._server.close()
        for writer in self._readers.values():
            with suppress(OSError):
                writer.write_eof()  # HAProxy then closes; everything it sent before is read
        if self._readers:
            await asyncio.wait(list(self._readers), timeout=_CLOSE_TIMEOUT)
        for task in list(self._readers):
            task.cancel()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if _owner(*writer.get_extra_info("peername")) not in self._accepted_users:
            log.warning(
                "Closed a connection to the access log's collector: the client is not the router."
            )
            writer.close()
            return
        task = asyncio.current_task()
        assert task is not None
        self._readers[task] = writer
        rest = b""
        try:
            while data := await reader.read(_READ):
                *lines, rest = (rest + data).split(b"\n")
                await self._handle_lines(
                    [
                        parsed
                        for line in lines
                        if (parsed := parse(line.decode(errors="replace"))) is not None
                    ]
                )
        except ConnectionError:
            return  # HAProxy ended; a new one connects again
        finally:
            self._readers.pop(task, None)
            writer.close()

    async def _handle_lines(self, lines: Sequence[AccessLine]) -> None:
        by_app: dict[str, list[AccessLine]] = {}
        for line in lines:
            self.metrics.add(line)
            if line.app and line.app != PORTAL:
                by_app.setdefault(line.app, []).append(line)
        if self._deliver is None:
            return
        for app, some in by_app.items():
            try:
                await asyncio.to_thread(self._deliver, app, some)
            # a full disk must not stop the counting or overflow the ring
            except (OSError, RuntimeFailure):
                log.exception("Could not store %d lines of the access log of %s.", len(some), app)


def _user(name: str) -> tuple[int, ...]:
    """Return the user id of HAProxy's workers: the configured user's, else that of `nobody`."""
    for user in (name, "nobody"):
        with suppress(KeyError):
            return (pwd.getpwnam(user).pw_uid,)
    return ()


def _owner(address: str, port: int) -> int | None:
    """Return the user id of the local socket with this address (proc_net(5), /proc/net/tcp), or
    None.
    """
    wanted = f"{int.from_bytes(socket.inet_aton(address), sys.byteorder):08X}:{port:04X}"
    rows = (row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return next((int(row[7]) for row in rows if row[1] == wanted), None)
