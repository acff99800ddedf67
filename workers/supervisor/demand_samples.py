"""The sampling of the load of autoscaled apps, for the autoscale task."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import redis

from portal.traffic.autoscale import Sample
from runtime.containers.container import Container, Status
from runtime.engines.node import NodeEngine
from runtime.router.access_log.metrics import Tally
from runtime.router.routes import WEB
from workers.store import demand
from workers.supervisor.instance_cache import InstanceCache

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    at: float
    tally: Tally
    cpu: dict[str, float]  # instance -> seconds used


class DemandSampling:
    """The sampling. Call `round` regularly, always from one thread.

    `tally` returns the tally of an app's requests so far.
    """

    def __init__(
        self,
        engine: NodeEngine,
        instance_cache: InstanceCache,
        client: redis.Redis,
        *,
        tally: Callable[[str], Tally],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._engine, self._instance_cache, self._client, self._tally, self._clock = (
            engine,
            instance_cache,
            client,
            tally,
            clock,
        )
        self._before: dict[str, _Reading] = {}
        self._has_warned = False

    def round(self) -> None:
        """Sample each app that the autoscale task named."""
        try:
            demand.keep(self._client, self._samples(demand.sampled_apps(self._client)))
        except redis.RedisError as error:
            if not self._has_warned:
                log.warning("Autoscaling is paused, because Redis does not answer: %s", error)
            self._has_warned = True
        else:
            self._has_warned = False

    def _samples(self, apps: set[str]) -> dict[str, Sample]:
        webs: dict[str, list[Container]] = {app: [] for app in apps}
        for container in self._instance_cache.instances() if apps else ():
            if (
                container.spec.app in webs
                and container.spec.labels["process"] == WEB
                and container.status is Status.RUNNING
            ):
                webs[container.spec.app].append(container)
        open_now = self._engine.router.in_flight() if apps else {}
        found = {
            app: self._sample(app, containers, open_now.get(app, 0))
            for app, containers in webs.items()
        }
        self._before = {app: reading for app, reading in self._before.items() if app in apps}
        return {app: sample for app, sample in found.items() if sample is not None}

    def _sample(self, app: str, containers: list[Container], open_now: int) -> Sample | None:
        """Return a sample, or None the first time: most values are differences of two readings."""
        used = {
            container.id: usage.cpu_seconds
            for container in containers
            if (usage := self._engine.usage(container.id)) is not None
        }
        now = _Reading(at=self._clock(), tally=self._tally(app).copy(), cpu=used)
        before = self._before.get(app)
        self._before[app] = now
        if before is None or now.at <= before.at:
            return None
        passed, counted = now.at - before.at, now.tally.since(before.tally)
        cpu = sum(
            max(seconds - before.cpu[container], 0.0)
            for container, seconds in used.items()
            if container in before.cpu
        )
        routes = self._engine.router.route(app)
        serving = (
            {end.instance for end in routes.endpoints if end.process == WEB and not end.draining}
            if routes is not None
            else set()
        )
        return Sample(
            at=now.at,
            ready=len(serving),
            # Short requests by Little's law (mean number in the system = rate x mean time). Long
            # requests are counted while they are open.
            in_flight=max(counted.took / 1000 / passed, float(open_now)),
            waiting=counted.queued / 1000 / passed,
            cpu=cpu / passed * 1000,
            p95=counted.percentile(0.95),
        )
