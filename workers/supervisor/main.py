"""The supervisor's main module: one process per node, with one thread for each duty.

It notices exits at once, ships logs, samples usage and corrects the router's state. It freezes
builds when memory is short, and it starts reconciliation on a schedule. It makes no decisions about
apps and reads no rows. It may be killed at any moment, and the instances keep running. While Redis
is away, it reconciles apps itself instead of sending tasks to the workers.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FrameType

import redis
from celery import Celery
from kombu.exceptions import OperationalError

from runtime.containers.container import Container
from runtime.converge.container_spec import RUN
from runtime.engines.node import NodeEngine
from runtime.errors import RuntimeFailure
from runtime.reserve import Reserve
from workers.schedules import (
    CHECK_HEALTH,
    CONVERGE_ALL,
    COUNT_REQUESTS,
    KEEP_RESERVE,
    KEEP_SERIES,
    LOOK_AT_PRESSURE,
    LOOK_UP_NAMES,
    RECONCILE_ROUTER,
    SAMPLE_DEMAND,
    SAMPLE_NODE,
    SAMPLE_USAGE,
    SHIP_LOGS,
)
from workers.store.series import Series
from workers.supervisor.demand_samples import DemandSampling
from workers.supervisor.exit_watcher import ExitWatch
from workers.supervisor.health_checks import HealthChecks
from workers.supervisor.instance_cache import InstanceCache
from workers.supervisor.log_shipping import LogShipping
from workers.supervisor.memory_pressure import MemoryPressure
from workers.supervisor.node_samples import NodeSampling
from workers.supervisor.restart_counts import RestartCounts
from workers.supervisor.router_events import RouterEvents
from workers.supervisor.traffic_meter import TrafficMeter
from workers.supervisor.usage_samples import UsageSampling

log = logging.getLogger(__name__)

Send = Callable[[str, Sequence[object]], None]
EXIT_WAIT = 0.5  # seconds; the longest delay until a new instance is watched
# Seconds between switches of threads. With Python's default of 5 ms, the thread that wakes an app
# for a request waits so long at each system call while another duty computes.
SWITCH = 0.0005


@dataclass(frozen=True, slots=True, kw_only=True)
class Duty:
    """A job that repeats in its own thread."""

    name: str
    every: float
    do: Callable[[], None]

    def repeat(self, stop: threading.Event) -> None:
        """Repeat the duty until `stop` is set.

        A failed round is logged and does not end the duty.
        """
        last_failure = ""
        while not stop.is_set():
            try:
                self.do()
                last_failure = ""
            except RuntimeFailure as failure:
                if failure.explain() != last_failure:
                    log.warning("%s: %s", self.name, failure.explain())
                last_failure = failure.explain()
            except Exception:  # the edge of the loop: recorded, and the next round may succeed
                log.exception("%s failed", self.name)
            stop.wait(self.every)


class Supervisor:
    """The supervisor and its duties.

    `send` sends a task to the workers, or raises OSError when the broker is away. Then
    `converge_here` reconciles in this process: one app by name, or all apps with an empty name.
    """

    def __init__(
        self,
        engine: NodeEngine,
        *,
        client: redis.Redis,
        send: Send,
        converge_here: Callable[[str], None],
    ) -> None:
        self._engine, self._send, self._converge_here = engine, send, converge_here
        instance_cache = InstanceCache(engine)
        self._exits = ExitWatch(engine, instance_cache, self._on_exit)
        self._log_shipping = LogShipping(engine, instance_cache)
        self._memory_pressure = MemoryPressure(engine)
        self._router_events = RouterEvents(engine, instance_cache, woken=self._woken)
        self._health_checks = HealthChecks(engine, instance_cache, changed=self._reconcile_app)
        self._demand = DemandSampling(
            engine, instance_cache, client, tally=self._router_events.tally
        )
        router, network = engine.router, engine.network
        self._metering = TrafficMeter(
            client,
            count=network.count,
            say=lambda app, text, at: engine.shipper.say(app, text, at=at),
        )
        self._sampling = UsageSampling(
            engine, instance_cache, client, outside=self._metering.by_container
        )
        self._restarts = RestartCounts(engine.app_files.crashes)
        self._series = Series(
            client,
            tallies=self._router_events.tallies,
            in_flight=router.in_flight,
            usage=self._sampling.by_app,
            outside=self._metering.by_app,
            refused=router.refused,
            samples=self._sampling.by_instance,
            restarts=self._restarts.take,
        )
        self._node_sampling = NodeSampling(engine, instance_cache, client)
        self._reserve = Reserve(engine.config)
        self._broker_away = False
        self.stop = threading.Event()

    def run(self) -> None:
        """Prepare the node, then supervise until `stop` is set. Running instances keep running."""
        for removed in self._engine.prepare():
            log.info("%s", removed)
        log.info(
            "Supervising %s; %d instances exist already",
            self._engine.config.name,
            len(self._engine.instances()),
        )
        self._router_events.start()
        threads = [
            threading.Thread(target=duty.repeat, args=(self.stop,), name=duty.name, daemon=True)
            for duty in self._duties()
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self._memory_pressure.thaw_all()
        self._health_checks.stop()
        self._router_events.stop()
        self._exits.close()

    def _duties(self) -> tuple[Duty, ...]:
        return (
            Duty(name="exits", every=0.0, do=lambda: self._exits.watch(EXIT_WAIT)),
            Duty(name="logs", every=SHIP_LOGS, do=self._log_shipping.round),
            Duty(name="disk", every=KEEP_RESERVE, do=self._keep_reserve),
            Duty(name="usage", every=SAMPLE_USAGE, do=self._sampling.round),
            Duty(name="pressure", every=LOOK_AT_PRESSURE, do=self._memory_pressure.round),
            Duty(name="demand", every=SAMPLE_DEMAND, do=self._demand.round),
            Duty(name="requests", every=COUNT_REQUESTS, do=self._router_events.round),
            Duty(name="health", every=CHECK_HEALTH, do=self._health_checks.round),
            Duty(name="traffic", every=KEEP_SERIES, do=self._metering.round),
            Duty(name="names", every=LOOK_UP_NAMES, do=self._engine.network.refresh_names),
            Duty(name="restarts", every=COUNT_REQUESTS, do=self._restarts.round),
            Duty(name="series", every=KEEP_SERIES, do=self._series.round),
            Duty(name="node", every=SAMPLE_NODE, do=self._node_sampling.round),
            Duty(name="router", every=RECONCILE_ROUTER, do=self._reconcile),
            Duty(name="converge", every=CONVERGE_ALL, do=self._converge_all),
        )

    def _on_exit(self, container: Container) -> None:
        log.info("Instance %s ended", container.id)
        self._restarts.ended(container)
        self._try_send(
            (
                "slipway.runs_ended"
                if container.spec.labels["kind"] == RUN
                else "slipway.instance_ended"
            ),
            container.spec.app,
        )

    def _woken(self, app: str) -> None:
        self._reconcile_app(app)  # at once: the stopped instances must become healthy

    def _reconcile_app(self, app: str) -> None:
        if not self._try_send("slipway.instance_ended", app):
            self._converge_here(app)

    def _converge_all(self) -> None:
        if not self._try_send("slipway.converge_all"):
            self._converge_here("")

    def _keep_reserve(self) -> None:
        if message := self._reserve.round():
            log.warning("%s", message)

    def _reconcile(self) -> None:
        for difference in self._engine.router.reconcile():
            log.warning("%s", difference)

    def _try_send(self, task: str, *arguments: object) -> bool:
        try:
            self._send(task, arguments)
        except OSError as error:
            if not self._broker_away:
                log.warning(
                    "Redis does not answer. This process reconciles the apps itself until it"
                    " does: %s",
                    error,
                )
            self._broker_away = True
            return False
        self._broker_away = False
        return True


def main() -> None:
    """Run the supervisor. The process manager calls this as `python -m workers.supervisor`."""
    from django.conf import settings

    from workers import node  # only now: the settings above decide the paths
    from workers.celery import app

    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    client = redis.Redis.from_url(
        settings.REDIS_CLIENT_URL, socket_connect_timeout=1, socket_timeout=2
    )
    supervisor = Supervisor(
        node.engine(), client=client, send=_sender(app), converge_here=_converge_here
    )

    def end(_number: int, _frame: FrameType | None) -> None:
        supervisor.stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    sys.setswitchinterval(SWITCH)
    supervisor.run()


def _sender(app: Celery) -> Send:
    def send(task: str, arguments: Sequence[object]) -> None:
        try:
            app.send_task(task, list(arguments), expires=60, retry=False)
        except (OperationalError, redis.RedisError) as error:
            # RedisError: Redis answers, but its disk is full.
            raise ConnectionError(str(error)) from error

    return send


def _converge_here(app: str) -> None:
    """Reconcile one app, or every app, in this process.

    Django is loaded only now, because it takes a third of this process's memory.
    """
    import django

    django.setup(set_prefix=False)
    from django.db import connections

    from portal.apps.models import HANDLE, App
    from workers import node
    from workers.tasks import reconcile

    try:
        apps = App.objects.alias(at_node=HANDLE).filter(at_node=app) if app else App.objects.all()
        for app_id in apps.values_list("pk", flat=True):
            reconcile.reconcile_app(app_id, node.engine(), seconds=3.0)
    finally:
        connections.close_all()
