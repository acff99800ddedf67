"""The supervisor's part of the router: counts requests, copies access logs, wakes sleeping apps.

All of it runs on one event loop in its own thread. HAProxy keeps log lines while this process is
away, and no request passes through here.
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
from runtime.converge.observed import WEB, Group, Slot
from runtime.converge.request_counts import Requests
from runtime.converge.wake import Booting
from runtime.engines.node import NodeEngine
from runtime.errors import LaunchFailed
from runtime.router.access_log.line import AccessLine
from runtime.router.access_log.metrics import Tally
from runtime.router.access_log.receiver import AccessLogReceiver
from runtime.router.config.render import PORTAL
from runtime.router.routes import Endpoint
from runtime.router.wake import WakeService, serving_endpoint
from workers.supervisor.instance_cache import InstanceCache

log = logging.getLogger(__name__)
T = TypeVar("T")
_POOL_THREADS = 8  # apps that are woken at the same time
# Seconds between two checks of an instance that was started for a request: many instances boot in
# less than 100 ms.
_CHECK_OFTEN, _OFTEN_SECONDS, _CHECK_SELDOM = 0.003, 2.0, 0.05
_CHECKS_OF_ONE_APP = 2  # so an app that does not answer cannot block the threads of other apps
_AFTER_BOOT_SECONDS = 30.0  # seconds for reconciliation to notice a successful check
_QUIET_BOOT = 1.0  # seconds in which an app boots undisturbed before it is reconciled
QUIET_SECONDS = 5.0  # the longest delay until an app's last request is recorded, without a canary


@dataclass(slots=True, kw_only=True)
class _Written:
    """The last recorded numbers of an app."""

    at: float = 0.0
    requests: int = 0
    percent: int | None = None  # of its canary
    # Instance -> its tally when this step of the canary began.
    base: dict[str, Tally] = field(default_factory=dict)
    # Instance -> the number of its processes that the kernel had killed by then.
    kills: dict[str, int] = field(default_factory=dict)


class RouterEvents:
    """The collector of access logs and the waker of apps.

    Call `start` and `stop` once, and `round` regularly, always from one thread. `woken` is called
    in its own thread with each app that was woken. No request waits for what `woken` does.
    """

    def __init__(
        self,
        engine: NodeEngine,
        instance_cache: InstanceCache,
        *,
        woken: Callable[[str], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._engine, self._instance_cache, self._woken, self._clock = (
            engine,
            instance_cache,
            woken,
            clock,
        )
        self._since = clock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="router-events", daemon=True
        )
        self._collector = AccessLogReceiver(engine.config, self._deliver)
        self._waker = WakeService(engine.config, self._bring_up)
        self._written: dict[str, _Written] = {}
        self._following: set[asyncio.Task[None]] = set()
        # A pool for waking only: a request waits for it, and must not wait for log lines to be
        # written.
        self._wake_pool = ThreadPoolExecutor(_POOL_THREADS, thread_name_prefix="wake")
        # A pool for checks only: apps may answer slowly, and that must not delay the waking of
        # others.
        self._check_pool = ThreadPoolExecutor(_POOL_THREADS, thread_name_prefix="check")

    @property
    def collector(self) -> AccessLogReceiver:
        """Return the collector. Only the event loop's thread writes to its `metrics`."""
        return self._collector

    def tally(self, app: str) -> Tally:
        """Return the tally of an app's requests so far."""
        return self._collector.metrics.apps.get(app, Tally())

    def start(self) -> None:
        """Listen on both sockets."""
        self._thread.start()
        self._run_on_loop(self._collector.start())
        self._run_on_loop(self._waker.start())

    def stop(self) -> None:
        """Process the lines that have arrived, and stop."""
        self._run_on_loop(self._waker.stop())
        self._run_on_loop(self._collector.stop())
        self._check_pool.shutdown(wait=False, cancel_futures=True)
        self._wake_pool.shutdown()  # finishes the waking that has begun
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def round(self) -> None:
        """Record each app's last request and the numbers of a canary, for reconciliation."""
        instances: dict[str, list[Container]] = {}
        for container in self._instance_cache.instances():
            instances.setdefault(container.spec.app, []).append(container)
        for app, containers in instances.items():
            self._record(app, containers)
        for gone in self._written.keys() - instances.keys():
            del self._written[gone]
        self._run_on_loop(
            self._forget(
                {
                    app: [container.id for container in containers]
                    for app, containers in instances.items()
                }
            )
        )

    def tallies(self, seen: Mapping[str, int]) -> dict[str, Tally | None]:
        """Return copies of the tallies that differ from the given counts; None for gone apps.

        An app is gone when it has no instance and the router does not know it. Its numbers are then
        deleted here.
        """

        async def copied() -> dict[str, Tally | None]:
            found = self._collector.metrics.apps
            return dict.fromkeys(seen.keys() - found.keys()) | {
                app: tally.copy() for app, tally in found.items() if tally.requests != seen.get(app)
            }

        self._run_on_loop(
            self._forget_apps(
                [app for app in list(self._collector.metrics.apps) if self._is_gone(app)]
            )
        )
        return self._run_on_loop(copied())

    def _is_gone(self, app: str) -> bool:
        return (
            app not in ("", PORTAL)
            and app not in self._written
            and self._engine.router.route(app) is None
        )

    async def _forget_apps(self, gone: Iterable[str]) -> None:
        for app in gone:
            self._collector.metrics.forget(app)

    def _record(self, app: str, containers: Sequence[Container]) -> None:
        written = self._written.setdefault(app, _Written())
        tally = self._collector.metrics.apps.get(app)
        count = tally.requests if tally is not None else 0
        routes = self._engine.router.route(app)
        percent = (
            routes.canary.percent if routes is not None and routes.canary is not None else None
        )
        now = self._clock()
        if (
            percent is None
            and written.percent is None
            and ((count == written.requests and written.at) or now - written.at < QUIET_SECONDS)
        ):
            return
        if percent != written.percent:
            written.base = {
                instance: tally.copy()
                for instance, tally in self._collector.metrics.instances.get(app, {}).items()
            }
            # All kills in the canary's instances count against it, also those before this round.
            begun = (
                {end.instance for end in routes.endpoints if end.canary}
                if routes is not None and written.percent is None
                else set()
            )
            written.kills = {
                container.id: self._kills(container)
                for container in containers
                if container.id not in begun
            }
        written.at, written.requests, written.percent = now, count, percent
        groups = self._groups(app, containers, written) if percent is not None else {}
        self._engine.app_files.save_request_counts(
            app,
            Requests(
                counted_since=self._since,
                last_at=tally.last_at if tally is not None else 0.0,
                groups=groups,
            ),
        )

    def _groups(
        self, app: str, containers: Iterable[Container], written: _Written
    ) -> dict[Group, GroupTraffic]:
        """Return the traffic of each group since this step of the canary began."""
        return traffic_of_groups(
            (
                slot,
                self._since_step(app, container.id, written),
                self._kills(container) - written.kills.get(container.id, 0),
            )
            for container in containers
            if (slot := container_spec.slot_of(container)) is not None
        )

    def _since_step(self, app: str, instance: str, written: _Written) -> Tally:
        now = self._collector.metrics.instances.get(app, {}).get(instance, Tally()).copy()
        return now.since(written.base[instance]) if instance in written.base else now

    def _kills(self, container: Container) -> int:
        usage = self._engine.usage(container.id) if container.status is Status.RUNNING else None
        return usage.oom_kills if usage else 0

    def _deliver(self, app: str, lines: Sequence[AccessLine]) -> None:
        self._engine.shipper.add(app, [(line.at, line.text()) for line in lines], source="router")

    async def _bring_up(self, app: str, process: str) -> Endpoint:
        waking = self._loop.run_in_executor(self._wake_pool, self._engine.wake, app)
        served = asyncio.Event()
        self._follow(self._finish_wake(waking, served, app))
        # Raises the error of a failed wake.
        booting = [instance for instance in await waking if instance.endpoint.process == process]
        if not booting:
            served.set()  # nothing boots: only reconciliation opens the route, so do not delay it
            return await serving_endpoint(self._engine.router.route, app, process)
        share = asyncio.Semaphore(_CHECKS_OF_ONE_APP)
        attempts = [
            asyncio.ensure_future(self._admit_when_healthy(instance, share)) for instance in booting
        ]
        # Reconciliation may be faster.
        attempts.append(
            asyncio.ensure_future(serving_endpoint(self._engine.router.route, app, process))
        )
        try:
            patience = (
                max(instance.check.boot_seconds for instance in booting) + _AFTER_BOOT_SECONDS
            )
            done, _ = await asyncio.wait(
                attempts, timeout=patience, return_when=asyncio.FIRST_COMPLETED
            )
            if not done:
                raise LaunchFailed(
                    f"{app} was started for a request, and did not become healthy.",
                    hint="See the app's log.",
                )
            return done.pop().result()
        finally:
            served.set()
            for attempt in attempts:
                attempt.cancel()

    async def _admit_when_healthy(self, booting: Booting, share: asyncio.Semaphore) -> Endpoint:
        """Check a started instance until it is healthy, and open the app's routes to it.

        This is faster than the next round of reconciliation.
        """
        began = self._loop.time()
        while (waited := self._loop.time() - began) < booting.check.boot_seconds:
            async with share:
                if await self._loop.run_in_executor(self._check_pool, self._engine.admit, booting):
                    self._follow(
                        asyncio.to_thread(self._engine.keep_woken, booting.container.spec.app)
                    )
                    return booting.endpoint
            await asyncio.sleep(_CHECK_OFTEN if waited < _OFTEN_SECONDS else _CHECK_SELDOM)
        nothing_more: asyncio.Future[Endpoint] = self._loop.create_future()
        return await nothing_more

    async def _finish_wake(
        self, waking: asyncio.Future[tuple[Booting, ...]], served: asyncio.Event, app: str
    ) -> None:
        await asyncio.wait((waking,))
        if (error := waking.exception()) is not None:
            log.error(
                "Waking %s failed. The next scheduled reconciliation will do it.",
                app,
                exc_info=error,
            )
            return
        if waking.result():
            with suppress(TimeoutError):
                async with asyncio.timeout(_QUIET_BOOT):
                    await served.wait()
        await asyncio.to_thread(self._engine.keep_woken, app)
        await asyncio.to_thread(self._woken, app)

    def _follow(self, work: Coroutine[object, object, None]) -> None:
        """Run the work that follows after an app was woken. No request waits for it."""
        task = asyncio.ensure_future(work)
        self._following.add(task)
        task.add_done_callback(self._followed)

    def _followed(self, task: asyncio.Task[None]) -> None:
        self._following.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error(
                "The work after waking an app failed. The next scheduled reconciliation will"
                " do it.",
                exc_info=error,
            )

    async def _forget(self, living: dict[str, list[str]]) -> None:
        metrics = self._collector.metrics
        for app in list(metrics.instances):
            metrics.forget_instances(app, living.get(app, ()))

    def _run_on_loop(self, work: Coroutine[object, object, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)


def traffic_of_groups(instances: Iterable[tuple[Slot, Tally, int]]) -> dict[Group, GroupTraffic]:
    """Sum the requests and memory kills of instances by group.

    Only web instances count. Other process types have different requests and no canary. A worker of
    the old release that runs out of memory must not excuse a canary that does.
    """
    tallies: dict[Group, list[Tally]] = {}
    kills: dict[Group, int] = {}
    for slot, tally, killed in instances:
        if slot.process != WEB:
            continue
        of_group = tallies.setdefault(slot.group, [])
        if tally.requests:
            of_group.append(tally)
        kills[slot.group] = kills.get(slot.group, 0) + killed
    return {group: _traffic(of_group, kills[group]) for group, of_group in tallies.items()}


def _traffic(instances: Sequence[Tally], memory_kills: int) -> GroupTraffic:
    tally = Tally()
    for instance in instances:
        tally = tally.plus(instance)
    return GroupTraffic(
        requests=tally.requests,
        failed=tally.classes["5xx"],
        median=(tally.percentile(0.5) or 0.0) / 1000,
        tail=(tally.percentile(0.95) or 0.0) / 1000,
        memory_kills=memory_kills,
        instances=max(1, len(instances)),
    )
