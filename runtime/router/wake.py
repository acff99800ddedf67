"""Service that wakes an app for requests that HAProxy holds, and returns an endpoint.

Each app and process type has at most one wake in progress: all requests share it and get the same
answer. A client that disconnects does not stop it. No request passes through this module: HAProxy
holds it, and proxies it itself once it has the endpoint.
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
_ASK = 10.0  # seconds for HAProxy to send its request
_HOPELESS = (AppSituation.CRASHED, AppSituation.NO_INSTANCE, AppSituation.NOT_DEPLOYED)
_POLL_SECONDS = 0.03  # seconds between two reads of an app's routes

log = logging.getLogger(__name__)


class WakeService:
    """Server on `config.wake_socket` between `start` and `stop`, on the running event loop.

    `wake` starts an app, or waits for a start in progress, and returns an endpoint of a process
    type. It raises RuntimeFailure if that fails. Only `stop` may cancel it. `held` counts the
    waiting requests by app.
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
        """Stop the server and cancel the wakes in progress.

        Waiting requests get no answer. HAProxy asks the next service for them until their time is
        over.
        """
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
            if hold.isdecimal() and (
                answer := await self._answer(app, process or WEB, int(hold) / 1000)
            ):
                writer.write(f"{answer}\n".encode())
                await writer.drain()
        except (ConnectionError, TimeoutError):
            return  # the client disconnected, so HAProxy did too
        finally:
            self._asking.discard(task)
            writer.close()

    async def _answer(self, app: str, process: str, hold: float) -> str:
        """Return an endpoint or an error code; empty if the service stops."""
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
            flight = self._flights[app, process] = asyncio.ensure_future(
                self._bring_up(app, process)
            )
            flight.add_done_callback(lambda _: self._flights.pop((app, process), None))
        return flight

    async def _bring_up(self, app: str, process: str) -> Endpoint | None:
        try:
            return await self._wake(app, process)
        except RuntimeFailure as failure:
            log.warning("Could not wake %s for a request: %s", app, failure.explain())
        # the edge of a request: record any error, and answer all waiting requests
        except Exception:
            log.exception("Waking %s failed.", app)
        return None


async def serving_endpoint(
    routes: Callable[[str], AppRoutes | None], app: str, process: str = WEB
) -> Endpoint:
    """Wait until a process type of an app serves again, and return one of its endpoints.

    This is the second half of every `wake`. Raise LaunchFailed if there is nothing to wait for: the
    app is gone, keeps crashing, or has no instances.
    """
    # without a thread first: most apps are awake by now, and a free thread may take long
    found = routes(app)
    while True:
        situation = found.situation_of(process) if found is not None else AppSituation.NOT_DEPLOYED
        if found is None or situation in _HOPELESS:
            raise LaunchFailed(
                f"{app} has no instance that can answer.",
                hint="The app's page in the portal shows the reason.",
            )
        if situation is AppSituation.SERVING and (taking := found.taking(process)):
            return taking[0]
        await asyncio.sleep(_POLL_SECONDS)
        found = await asyncio.to_thread(routes, app)


def _only_for_haproxy(path: Path, user: str) -> None:
    """Allow only the unprivileged user of HAProxy's workers to connect."""
    path.chmod(0o600)
    if os.geteuid() == 0:
        for name in (user, "nobody"):
            with suppress(KeyError):
                os.chown(path, pwd.getpwnam(name).pw_uid, -1)
                return
