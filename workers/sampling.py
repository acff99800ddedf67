"""What each instance uses, as short-lived samples in Redis for people to look at. Limits do not depend on them."""

from __future__ import annotations

import json
import logging
import time

import redis

from runtime.containers.container import Container, Status
from runtime.engines.node import NodeEngine
from workers.roster import Roster

log = logging.getLogger(__name__)
EXPIRY = 15  # seconds


class UsageSampling:
    """CPU is the mean since the round before; the rest is of the moment."""

    def __init__(self, engine: NodeEngine, roster: Roster, client: redis.Redis) -> None:
        self._engine, self._roster, self._client = engine, roster, client
        self._cpu: dict[str, tuple[float, float]] = {}  # instance -> (moment, seconds used)
        self._complained = False

    def round(self) -> None:
        """Once over all instances. Without Redis the samples are lost, which is said once."""
        samples = {container.id: sample for container in self._roster.instances() if (sample := self._sample(container)) is not None}
        self._cpu = {key: seen for key, seen in self._cpu.items() if key in samples}
        try:
            with self._client.pipeline(transaction=False) as pipeline:
                for key, sample in samples.items():
                    pipeline.set(f"slipway:usage:{key}", json.dumps(sample), ex=EXPIRY)
                pipeline.execute()
        except redis.RedisError as error:
            if not self._complained:
                log.warning("Usage is not shown while Redis is away: %s", error)
            self._complained = True
        else:
            self._complained = False

    def _sample(self, container: Container) -> dict[str, float] | None:
        if container.status is not Status.RUNNING or (usage := self._engine.usage(container.id)) is None:
            return None
        now = time.monotonic()
        before = self._cpu.get(container.id)
        self._cpu[container.id] = (now, usage.cpu_seconds)
        return {
            "cpu_millicores": _millicores(before, (now, usage.cpu_seconds)),
            "memory_bytes": usage.memory_bytes,
            "memory_limit": int(container.spec.limits.memory),
            "processes": usage.processes,
            "disk_bytes": usage.disk_bytes,
            "at": time.time(),
        }


def _millicores(before: tuple[float, float] | None, now: tuple[float, float]) -> int:
    """The mean between two readings of (moment, seconds used); 0 where there is only one."""
    if before is None or now[0] <= before[0]:
        return 0
    return round(max(now[1] - before[1], 0.0) / (now[0] - before[0]) * 1000)
