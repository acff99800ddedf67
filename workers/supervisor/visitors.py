"""The supervisor's side of the router: counts its access log, carries it into the apps' logs, answers its question for an app.

All of it runs on one event loop in a thread of its own. HAProxy keeps lines while this is away, and no request passes through here.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

from runtime.containers.container import Container, Status
from runtime.converge import container_spec
from runtime.converge.canary_analysis import GroupTraffic
from runtime.converge.observed import WEB, Group
from runtime.converge.request_counts import Requests
from runtime.converge.wake import Booting
from runtime.engines.node import NodeEngine
from runtime.errors import LaunchFailed
from runtime.router.access_log.line import AccessLine
from runtime.router.access_log.metrics import Tally
from runtime.router.access_log.receiver import Collector
from runtime.router.config.render import PORTAL
from runtime.router.routes import Endpoint
from runtime.router.wake import WakeService, serving_endpoint
from workers.supervisor.instance_cache import Roster

log = logging.getLogger(__name__)
T = TypeVar("T")
_WAKERS = 8  # apps that are woken at the same time
# Seconds between two checks of an instance that was started for a request: many boot in some tens of milliseconds.
_ASK_OFTEN, _OFTEN_SECONDS, _ASK_SELDOM = 0.003, 2.0, 0.05
_ASKERS_OF_ONE_APP = 2  # of all: an app that keeps them waiting keeps no other app's
_BEYOND_BOOT = 30.0  # seconds that converging may take to see what the check saw
_QUIET_BOOT = 1.0  # seconds in which a booting app has the processors to itself, before converging looks at it
QUIET_SECONDS = 5.0  # how late the last request of an app without a canary is written down at most


@dataclass(slots=True, kw_only=True)
class _Written:
    """What was last written down of an app."""

    at: float = 0.0
    requests: int = 0
    percent: int | None = None  # of its canary
    base: dict[str, Tally] = field(default_factory=dict)  # instance -> its tally when this step of the canary began
    kills: dict[str, int] = field(default_factory=dict)  # and how many of its processes the kernel had ended by then


class Visitors:
    """`start` and `stop` once; `round` now and then, from any one thread. `woken` hears of each app that was asked for, in a thread of
    its own: what the app needs beyond running again is no visitor's to wait for.
    """

    def __init__(self, engine: NodeEngine, roster: Roster, *, woken: Callable[[str], None], clock: Callable[[], float] = time.time) -> None:
        self._engine, self._roster, self._woken, self._clock = engine, roster, woken, clock
        self._since = clock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="visitors", daemon=True)
        self._collector = Collector(engine.config, self._deliver)
        self._waker = WakeService(engine.config, self._bring_up)
        self._written: dict[str, _Written] = {}
        self._following: set[asyncio.Task[None]] = set()
        # Of their own: a request waits for these, and must not stand in a row with lines of logs that are written.
        self._wakers = ThreadPoolExecutor(_WAKERS, thread_name_prefix="wake")
        # And these wait for apps, which may keep them waiting: no other app is to be woken by them.
        self._askers = ThreadPoolExecutor(_WAKERS, thread_name_prefix="ask")

    @property
    def collector(self) -> Collector:
        """Its `metrics` are written to by the event loop's thread alone."""
        return self._collector

    def tally(self, app: str) -> Tally:
        """What was counted of an app's requests so far."""
        return self._collector.metrics.apps.get(app, Tally())

    def start(self) -> None:
        """Listen on both sockets."""
        self._thread.start()
        self._do(self._collector.start())
        self._do(self._waker.start())

    def stop(self) -> None:
        """Take what has come, and leave."""
        self._do(self._waker.stop())
        self._do(self._collector.stop())
        self._askers.shutdown(wait=False, cancel_futures=True)
        self._wakers.shutdown()  # what is half woken is woken whole
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def round(self) -> None:
        """Write down what converging goes by: an app's last request, and how a canary fares."""
        instances: dict[str, list[Container]] = {}
        for container in self._roster.instances():
            instances.setdefault(container.spec.app, []).append(container)
        for app, containers in instances.items():
            self._note(app, containers)
        for gone in self._written.keys() - instances.keys():
            del self._written[gone]
        self._do(self._forget({app: [one.id for one in containers] for app, containers in instances.items()}))

    def tallies(self, seen: Mapping[str, int]) -> dict[str, Tally | None]:
        """Copies of the tallies of apps that had requests since they stood at these counts, None for those of them that are gone.

        An app is gone, and forgotten here, when it has no instance and the router does not know it any more.
        """

        async def copied() -> dict[str, Tally | None]:
            found = self._collector.metrics.apps
            return dict.fromkeys(seen.keys() - found.keys()) | {
                app: tally.copy() for app, tally in found.items() if tally.requests != seen.get(app)
            }

        self._do(self._forget_apps([app for app in list(self._collector.metrics.apps) if self._is_gone(app)]))
        return self._do(copied())

    def _is_gone(self, app: str) -> bool:
        return app not in ("", PORTAL) and app not in self._written and self._engine.router.route(app) is None

    async def _forget_apps(self, gone: Iterable[str]) -> None:
        for app in gone:
            self._collector.metrics.forget(app)

    def _note(self, app: str, containers: Sequence[Container]) -> None:
        written = self._written.setdefault(app, _Written())
        tally = self._collector.metrics.apps.get(app)
        count = tally.requests if tally is not None else 0
        routes = self._engine.router.route(app)
        percent = routes.canary.percent if routes is not None and routes.canary is not None else None
        now = self._clock()
        if percent is None and written.percent is None and ((count == written.requests and written.at) or now - written.at < QUIET_SECONDS):
            return
        if percent != written.percent:
            written.base = {one: tally.copy() for one, tally in self._collector.metrics.instances.get(app, {}).items()}
            # A canary that has just begun has lost nothing yet that would not be counted against it.
            begun = {end.instance for end in routes.endpoints if end.canary} if routes is not None and written.percent is None else set()
            written.kills = {one.id: self._kills(one) for one in containers if one.id not in begun}
        written.at, written.requests, written.percent = now, count, percent
        groups = self._groups(app, containers, written) if percent is not None else {}
        self._engine.note_requests(
            app, Requests(counted_since=self._since, last_at=tally.last_at if tally is not None else 0.0, groups=groups)
        )

    def _groups(self, app: str, containers: Iterable[Container], written: _Written) -> dict[Group, GroupTraffic]:
        """What web instances answered, and lost to the kernel, since this step began, by group: other process types have other requests, and no canary."""
        tallies: dict[Group, list[Tally]] = {}
        kills: dict[Group, int] = {}
        for container in containers:
            place = container_spec.slot_of(container)
            if place is None:
                continue
            now = self._collector.metrics.instances.get(app, {}).get(container.id, Tally()).copy()
            since = now.since(written.base[container.id]) if container.id in written.base else now
            of_group = tallies.setdefault(place.group, [])
            if place.process == WEB and since.requests:
                of_group.append(since)
            kills[place.group] = kills.get(place.group, 0) + self._kills(container) - written.kills.get(container.id, 0)
        return {group: _traffic(of_group, kills[group]) for group, of_group in tallies.items()}

    def _kills(self, container: Container) -> int:
        usage = self._engine.usage(container.id) if container.status is Status.RUNNING else None
        return usage.oom_kills if usage else 0

    def _deliver(self, app: str, lines: Sequence[AccessLine]) -> None:
        self._engine.shipper.add(app, [(line.at, line.text()) for line in lines], source="router")

    async def _bring_up(self, app: str, process: str) -> Endpoint:
        waking = self._loop.run_in_executor(self._wakers, self._engine.wake, app)
        served = asyncio.Event()
        self._follow(self._then_tell(waking, served, app))
        booting = [one for one in await waking if one.endpoint.process == process]  # it raises what went wrong
        if not booting:
            served.set()  # who comes now is let in by converging alone, so it is not to wait
            return await serving_endpoint(self._engine.router.route, app, process)
        share = asyncio.Semaphore(_ASKERS_OF_ONE_APP)
        ways = [asyncio.ensure_future(self._let_in(one, share)) for one in booting]
        ways.append(asyncio.ensure_future(serving_endpoint(self._engine.router.route, app, process)))  # converging may be quicker
        try:
            patience = max(one.check.boot_seconds for one in booting) + _BEYOND_BOOT
            done, _ = await asyncio.wait(ways, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                raise LaunchFailed(f"{app} was started for a request, and did not become healthy.", hint="Its log tells more.")
            return done.pop().result()
        finally:
            served.set()
            for way in ways:
                way.cancel()

    async def _let_in(self, booting: Booting, share: asyncio.Semaphore) -> Endpoint:
        """Ask an instance that was started, and open the app's routes to it: quicker than the next round of converging."""
        began = self._loop.time()
        while (waited := self._loop.time() - began) < booting.check.boot_seconds:
            async with share:
                if await self._loop.run_in_executor(self._askers, self._engine.lets_in, booting):
                    self._follow(asyncio.to_thread(self._engine.keep_woken, booting.container.spec.app))
                    return booting.endpoint
            await asyncio.sleep(_ASK_OFTEN if waited < _OFTEN_SECONDS else _ASK_SELDOM)
        nothing_more: asyncio.Future[Endpoint] = self._loop.create_future()
        return await nothing_more

    async def _then_tell(self, waking: asyncio.Future[tuple[Booting, ...]], served: asyncio.Event, app: str) -> None:
        await asyncio.wait((waking,))
        if (error := waking.exception()) is not None:
            log.error("Waking %s broke off; converging by the clock makes up for it.", app, exc_info=error)
            return
        if waking.result():
            with suppress(TimeoutError):
                async with asyncio.timeout(_QUIET_BOOT):
                    await served.wait()
        await asyncio.to_thread(self._engine.keep_woken, app)
        await asyncio.to_thread(self._woken, app)

    def _follow(self, work: Coroutine[object, object, None]) -> None:
        """Do what waking an app leaves for later; no request waits for it."""
        task = asyncio.ensure_future(work)
        self._following.add(task)
        task.add_done_callback(self._followed)

    def _followed(self, task: asyncio.Task[None]) -> None:
        self._following.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("What follows from waking an app failed; converging by the clock makes up for it.", exc_info=error)

    async def _forget(self, living: dict[str, list[str]]) -> None:
        metrics = self._collector.metrics
        for app in list(metrics.instances):
            metrics.forget_instances(app, living.get(app, ()))

    def _do(self, work: Coroutine[object, object, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)


def _traffic(instances: Sequence[Tally], memory_kills: int) -> GroupTraffic:
    tally = Tally()
    for one in instances:
        tally = tally.plus(one)
    return GroupTraffic(
        requests=tally.requests,
        failed=tally.classes["5xx"],
        median=(tally.percentile(0.5) or 0.0) / 1000,
        tail=(tally.percentile(0.95) or 0.0) / 1000,
        memory_kills=memory_kills,
        instances=max(1, len(instances)),
    )
