"""Receives the access log from HAProxy, counts it, and passes each app's lines on. One a router host.

HAProxy keeps the last lines in a ring and sends them over a stream, so a collector that is away for a while misses none as
long as the ring holds them. It refuses to block HAProxy: what it cannot deliver it counts and drops.

The stream is TCP, as HAProxy (2.6) tries a refused Unix socket again at once and for ever, with a whole core, but a port once a
second. A port is open to every user of the host, so only HAProxy's own is listened to.
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
_AGAIN = 2.0  # seconds between two tries for an address that is in use
_GOODBYE = 5.0  # seconds for HAProxy to close after we said that we will


class Collector:
    """Serves `config.access_address` between `start` and `stop`, on the running event loop.

    `deliver` gets the lines of one app in the order of their end, in a thread of its own. Without it lines are only counted.
    """

    def __init__(self, config: NodeConfig, deliver: Callable[[str, Sequence[AccessLine]], None] | None = None) -> None:
        self.metrics = Metrics()
        self._config = config
        self._deliver = deliver
        self._speakers = {0, os.geteuid(), *_user(config.user)}
        self._server: asyncio.Server | None = None
        self._trying: asyncio.Task[None] | None = None
        self._readers: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def start(self) -> None:
        """Listen, now or as soon as nobody else does there; HAProxy connects by itself within a second or two."""
        if not await self._listens():
            host, port = self._config.access_address
            log.error(
                "The address %s:%d, where the router sends its access log, is in use: requests are neither counted nor told. "
                "Stop what listens there (`ss -ltnp sport = %d` names it), or set SLIPWAY_RUN to another folder.",
                host,
                port,
                port,
            )
            self._trying = asyncio.create_task(self._listen_at_last())

    async def _listens(self) -> bool:
        host, port = self._config.access_address
        try:
            self._server = await asyncio.start_server(self._connected, host, port, limit=_READ, reuse_address=True)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return False
        return True

    async def _listen_at_last(self) -> None:
        while True:
            await asyncio.sleep(_AGAIN)
            if await self._listens():
                break
        log.info("The address of the access log is free; requests are counted again.")

    async def stop(self) -> None:
        """Take what has been sent, then leave. What comes later waits in HAProxy's ring for the next collector."""
        if self._trying is not None:
            self._trying.cancel()
        if self._server is not None:
            self._server.close()
        for writer in self._readers.values():
            with suppress(OSError):
                writer.write_eof()  # HAProxy closes in answer, and what it sent until then is read to its end
        if self._readers:
            await asyncio.wait(list(self._readers), timeout=_GOODBYE)
        for task in list(self._readers):
            task.cancel()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if _owner(*writer.get_extra_info("peername")) not in self._speakers:
            log.warning("Somebody who is not the router connected to the collector of its access log, and was not listened to.")
            writer.close()
            return
        task = asyncio.current_task()
        assert task is not None
        self._readers[task] = writer
        rest = b""
        try:
            while data := await reader.read(_READ):
                *lines, rest = (rest + data).split(b"\n")
                await self._take([parsed for line in lines if (parsed := parse(line.decode(errors="replace"))) is not None])
        except ConnectionError:
            return  # HAProxy ended; a new one connects anew
        finally:
            self._readers.pop(task, None)
            writer.close()

    async def _take(self, lines: Sequence[AccessLine]) -> None:
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
            except (OSError, RuntimeFailure):  # a full disk must not end the counting, nor make the ring run over
                log.exception("%d lines of the access log of %s could not be kept.", len(some), app)


def _user(name: str) -> tuple[int, ...]:
    """Whom HAProxy's workers become: the configured user, else `nobody`."""
    for one in (name, "nobody"):
        with suppress(KeyError):
            return (pwd.getpwnam(one).pw_uid,)
    return ()


def _owner(address: str, port: int) -> int | None:
    """The user whose socket on this machine has this address (proc_net(5), /proc/net/tcp); None where there is none."""
    wanted = f"{int.from_bytes(socket.inet_aton(address), sys.byteorder):08X}:{port:04X}"
    rows = (row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return next((int(row[7]) for row in rows if row[1] == wanted), None)
