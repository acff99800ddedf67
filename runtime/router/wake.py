"""Answers HAProxy's question "where is this app now?" for requests that it holds, and has the app woken for that.

One flight an app and process type: however many ask, it is woken once, and all get the same answer. Who gives up does not stop the flight.
No request passes through here: HAProxy holds it, and proxies it itself once it knows the endpoint.
"""

from __future__ import annotations

import asyncio
import logging
import os
import pwd
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from runtime.config import NodeConfig
from runtime.contract.error_codes import Code
from runtime.errors import LaunchFailed, RuntimeFailure
from runtime.router.routes import WEB, AppRoutes, AppSituation, Endpoint

_BACKLOG = 4_096
_ASK = 10.0  # seconds for HAProxy to say what it wants
_HOPELESS = (AppSituation.CRASHED, AppSituation.NO_INSTANCE, AppSituation.NOT_DEPLOYED)
_LOOK = 0.03  # seconds between two looks at an app's routes

log = logging.getLogger(__name__)


class WakeService:
    """Serves `config.wake_socket` between `start` and `stop`, on the running event loop.

    `wake` brings an app up, or waits while others do, and gives one endpoint of a process type that serves; RuntimeFailure if none will.
    It may be cancelled only by `stop`. `held` counts by app the requests that wait now.
    """

    def __init__(self, config: NodeConfig, wake: Callable[[str, str], Awaitable[Endpoint]]) -> None:
        self.held: Counter[str] = Counter()
        self._config = config
        self._wake = wake
        self._flights: dict[tuple[str, str], asyncio.Task[Endpoint | None]] = {}
        self._asking: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        path = self._config.wake_socket
        path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._asked, path, backlog=_BACKLOG)
        _only_for_haproxy(path, self._config.user)

    async def stop(self) -> None:
        """Nobody is woken any more. Who still waits gets no answer, and asks the next service until its time is over."""
        if self._server is not None:
            self._server.close()
        self._config.wake_socket.unlink(missing_ok=True)
        for flight in list(self._flights.values()):
            flight.cancel()
        if self._asking:
            await asyncio.wait(list(self._asking), timeout=1)

    async def _asked(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._asking.add(task)
        try:
            line = await asyncio.wait_for(reader.readline(), _ASK)
            app, hold, process, *_ = [*line.decode(errors="replace").split(), "", "", ""]
            if hold.isdecimal() and (answer := await self._answer(app, process or WEB, int(hold) / 1000)):
                writer.write(f"{answer}\n".encode())
                await writer.drain()
        except (ConnectionError, TimeoutError):
            return  # the client gave up, and HAProxy with it
        finally:
            self._asking.discard(task)
            writer.close()

    async def _answer(self, app: str, process: str, hold: float) -> str:
        """An endpoint, or the code of what went wrong; empty when we stop."""
        self.held[app] += 1
        try:
            endpoint = await asyncio.wait_for(asyncio.shield(self._flight(app, process)), hold)
        except TimeoutError:
            return Code.HELD_TOO_LONG
        except asyncio.CancelledError:
            return ""
        finally:
            self.held[app] -= 1
            if not self.held[app]:
                del self.held[app]
        return f"{endpoint.address}:{endpoint.port}" if endpoint else Code.WAKE_FAILED

    def _flight(self, app: str, process: str) -> asyncio.Task[Endpoint | None]:
        flight = self._flights.get((app, process))
        if flight is None:
            flight = self._flights[app, process] = asyncio.ensure_future(self._bring_up(app, process))
            flight.add_done_callback(lambda _: self._flights.pop((app, process), None))
        return flight

    async def _bring_up(self, app: str, process: str) -> Endpoint | None:
        try:
            return await self._wake(app, process)
        except RuntimeFailure as failure:
            log.warning("%s was asked for and did not wake: %s", app, failure.explain())
        except Exception:  # the edge of a request: whatever it is, it is recorded, and all who wait get an answer
            log.exception("Waking %s broke off.", app)
        return None


async def serving_endpoint(routes: Callable[[str], AppRoutes | None], app: str, process: str = WEB) -> Endpoint:
    """Wait until a process type of an app serves again, and give one of its endpoints: the second half of every `wake`.

    LaunchFailed: there is nothing to wait for. It is gone, crashes again and again, or is to have no instance.
    """
    found = routes(app)  # at once: most are awake by now, and a thread of all that the loop hands out may be long in coming
    while True:
        situation = found.situation_of(process) if found is not None else AppSituation.NOT_DEPLOYED
        if found is None or situation in _HOPELESS:
            raise LaunchFailed(f"{app} has no instance that could answer.", hint="Its page in the portal tells why.")
        if situation is AppSituation.SERVING and (taking := found.taking(process)):
            return taking[0]
        await asyncio.sleep(_LOOK)
        found = await asyncio.to_thread(routes, app)


def _only_for_haproxy(path: Path, user: str) -> None:
    """HAProxy's workers run as the unprivileged user, and nobody else has anything to say there."""
    path.chmod(0o600)
    if os.geteuid() == 0:
        for name in (user, "nobody"):
            with suppress(KeyError):
                os.chown(path, pwd.getpwnam(name).pw_uid, -1)
                return
