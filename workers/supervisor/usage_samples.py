"""Samples of each instance's resource usage, in Redis for a short time.

They are only for display. Limits do not depend on them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping

import msgspec
import redis

from portal.apps.usage import Usage
from runtime.containers.container import Container, Status
from runtime.contract.notices import MEMORY_EXCEEDED
from runtime.converge.container_spec import source_of
from runtime.engines.node import NodeEngine
from runtime.network.traffic import Amount
from workers.store.usage import AppUsage, InstanceSample
from workers.supervisor.instance_cache import InstanceCache

log = logging.getLogger(__name__)
EXPIRY = 15  # seconds
# Seconds. An earlier supervisor may have logged the kills in an older instance already.
_YOUNG = 30.0


class UsageSampling:
    """The sampling of usage. CPU is the mean since the last round; the other values are current.

    `outside` returns the network traffic of each container since it was attached.
    """

    def __init__(
        self,
        engine: NodeEngine,
        instance_cache: InstanceCache,
        client: redis.Redis,
        *,
        outside: Callable[[], Mapping[str, Amount]] = dict,
    ) -> None:
        self._engine, self._instance_cache, self._client = engine, instance_cache, client
        self._outside = outside
        self._cpu: dict[str, tuple[float, float]] = {}  # instance -> (moment, seconds used)
        self._by_app: dict[str, AppUsage] = {}
        self._by_instance: dict[str, dict[str, InstanceSample]] = {}
        # Instance -> number of its processes that the kernel killed, as logged so far.
        self._kills: dict[str, int] = {}
        self._has_warned = False

    def round(self) -> None:
        """Sample all instances once. Without Redis the samples are lost; this is logged once."""
        samples: dict[str, Usage] = {}
        by_app: dict[str, AppUsage] = {}
        by_instance: dict[str, dict[str, InstanceSample]] = {}
        outside = self._outside()
        for container in self._instance_cache.instances():
            if (sample := self._sample(container)) is not None:
                samples[container.id] = sample
                app, usage = container.spec.app, _usage(container, sample)
                by_app[app] = by_app.get(app, AppUsage()) + usage
                by_instance.setdefault(app, {})[name_of(container)] = InstanceSample(
                    usage=usage, outside=outside.get(container.id, Amount())
                )
        self._by_app, self._by_instance = by_app, by_instance
        self._cpu = {key: seen for key, seen in self._cpu.items() if key in samples}
        self._kills = {key: count for key, count in self._kills.items() if key in samples}
        try:
            with self._client.pipeline(transaction=False) as pipeline:
                for key, sample in samples.items():
                    pipeline.set(f"slipway:usage:{key}", msgspec.json.encode(sample), ex=EXPIRY)
                pipeline.execute()
        except redis.RedisError as error:
            if not self._has_warned:
                log.warning("Usage is not shown while Redis does not answer: %s", error)
            self._has_warned = True
        else:
            self._has_warned = False

    def by_app(self) -> dict[str, AppUsage]:
        """Return the sums of the last round, for apps with running instances."""
        return self._by_app

    def by_instance(self) -> dict[str, dict[str, InstanceSample]]:
        """Return the samples of the last round, by app and by the instance's name (`name_of`)."""
        return self._by_instance

    def _sample(self, container: Container) -> Usage | None:
        if (
            container.status is not Status.RUNNING
            or (usage := self._engine.usage(container.id)) is None
        ):
            return None
        self._report_kills(container, usage.oom_kills)
        now = time.monotonic()
        before = self._cpu.get(container.id)
        self._cpu[container.id] = (now, usage.cpu_seconds)
        return Usage(
            cpu_millicores=_millicores(before, (now, usage.cpu_seconds)),
            memory_bytes=usage.memory_bytes,
            memory_limit=int(container.spec.limits.memory),
            processes=usage.processes,
            disk_bytes=usage.disk_bytes,
            at=time.time(),
        )

    def _report_kills(self, container: Container, kills: int) -> None:
        """Log in the app's log that the kernel killed a process for its memory.

        Nothing else reports it if the instance keeps running.
        """
        is_young = container.started_at is not None and time.time() - container.started_at < _YOUNG
        known = self._kills.setdefault(container.id, 0 if is_young else kills)
        if kills > known:
            self._kills[container.id] = kills
            count = f"{kills - known} process{'es' if kills - known > 1 else ''}"
            text = (
                f"{MEMORY_EXCEEDED}: the kernel killed {count} of {container.id}, which used all of"
                f" its {container.spec.limits.memory} of memory."
            )
            self._engine.shipper.say(container.spec.app, text, at=time.time())


def name_of(container: Container) -> str:
    """Return the name of an instance or a run in its app's log: `web.1a2b3c4d`."""
    return source_of(container.id, container.spec.labels["process"])


def _usage(container: Container, sample: Usage) -> AppUsage:
    limits = container.spec.limits
    return AppUsage(
        cpu=sample.cpu_millicores,
        cpu_limit=int(limits.cpu),
        memory=sample.memory_bytes,
        memory_limit=sample.memory_limit,
        disk=sample.disk_bytes,
        disk_limit=int(limits.disk),
    )


def _millicores(before: tuple[float, float] | None, now: tuple[float, float]) -> int:
    """Return the mean between two readings of (moment, seconds used); 0 without the first."""
    if before is None or now[0] <= before[0]:
        return 0
    return round(max(now[1] - before[1], 0.0) / (now[0] - before[0]) * 1000)
