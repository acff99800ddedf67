"""Health checks of running instances. The instances that fail are recorded.

A pool of threads runs the checks, and nothing waits for them. Each app may use only a few of the
threads. So an app whose instances hang delays neither the other apps nor reconciliation.
`runtime.converge.planning.liveness` decides what to do about failures.
"""

from __future__ import annotations

import logging
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from runtime.containers.container import Container, Status
from runtime.contract.health import HealthCheck
from runtime.converge.container_spec import INSTANCE
from runtime.converge.explain import ProbeAnswer
from runtime.converge.observed import ProbeResult
from runtime.engines.node import NodeEngine
from workers.supervisor.instance_cache import InstanceCache

log = logging.getLogger(__name__)
MAX_THREADS = 32  # threads, started as they are needed
MAX_PER_APP = 4
LONGEST_TROUBLE = 300  # characters


class HealthChecks:
    """The health checks of the node. Call `round` regularly, always from one thread.

    `changed` is called with an app when the health of its instances requires an action.
    """

    def __init__(
        self,
        engine: NodeEngine,
        instance_cache: InstanceCache,
        *,
        changed: Callable[[str], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._engine, self._instance_cache, self._changed, self._clock = (
            engine,
            instance_cache,
            changed,
            clock,
        )
        self._pool = ThreadPoolExecutor(max_workers=MAX_THREADS, thread_name_prefix="health-check")
        self._lock = threading.Lock()  # guards the attributes below
        self._due: dict[str, float] = {}  # instance -> time of its next check
        self._checks_of_app: Counter[str] = Counter()  # app -> number of its running checks
        self._under_way: set[str] = set()  # instances
        self._failing: dict[str, dict[str, ProbeResult]] = {}  # app -> instance -> its failures

    def round(self) -> None:
        """Start the checks that are due. Each result is recorded when it arrives."""
        now = self._clock()
        instances: dict[str, list[Container]] = {}
        for container in self._instance_cache.instances():
            if container.spec.labels["kind"] == INSTANCE:
                instances.setdefault(container.spec.app, []).append(container)
        checked_ids: set[str] = set()
        for app, containers in instances.items():
            checks = self._engine.app_files.checks(app)
            checked = [
                container
                for container in containers
                if container.id in checks
                and container.status is Status.RUNNING
                and container.address is not None
            ]
            checked_ids |= {container.id for container in checked}
            self._forget_others(app, {container.id for container in checked})
            for container in sorted(
                checked, key=lambda container: self._due.get(container.id, 0.0)
            ):
                self._check_if_due(container, checks[container.id], now)
        with self._lock:
            self._due = {key: due for key, due in self._due.items() if key in checked_ids}
            for app in self._failing.keys() - instances.keys():
                del self._failing[app]

    def stop(self) -> None:
        """Start no further checks. The running ones have their own deadline."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _check_if_due(self, container: Container, check: HealthCheck, now: float) -> None:
        app = container.spec.app
        with self._lock:
            # Spread the checks over the interval: all instances may have become ready together.
            if container.id not in self._due:
                self._due[container.id] = now + check.interval * (
                    zlib.crc32(container.id.encode()) % 1000 / 1000
                )
            if (
                self._due[container.id] > now
                or container.id in self._under_way
                or self._checks_of_app[app] >= MAX_PER_APP
            ):
                return
            self._due[container.id] = now + check.interval
            self._under_way.add(container.id)
            self._checks_of_app[app] += 1
        self._pool.submit(self._check, container, check)

    def _check(self, container: Container, check: HealthCheck) -> None:
        app = container.spec.app
        try:
            answer = self._engine.check_health(container, check)
            needs_action = check.attempts <= self._record(app, container.id, answer)
        except Exception:
            # The edge of the thread: recorded, and the check runs again when it is due.
            log.exception("The health check of %s could not run", container.id)
            needs_action = False
        finally:
            with self._lock:
                self._under_way.discard(container.id)
                self._checks_of_app[app] -= 1
                if not self._checks_of_app[app]:
                    del self._checks_of_app[app]
        if needs_action:
            self._changed(app)

    def _record(self, app: str, id: str, answer: ProbeAnswer) -> int:
        """Record a result.

        Return the number of consecutive failures, or of those before this success.
        """
        with self._lock:
            failing = self._failures_of(app)
            before = failing[id].failures if id in failing else 0
            if answer.healthy and not before:
                return 0
            if answer.healthy:
                del failing[id]
            else:
                failing[id] = ProbeResult(
                    failures=before + 1,
                    at=self._clock(),
                    trouble=answer.describe()[:LONGEST_TROUBLE],
                )
            self._engine.app_files.save_probe_results(app, failing)
            return before if answer.healthy else before + 1

    def _failures_of(self, app: str) -> dict[str, ProbeResult]:
        """Return the app's failures. First read those that an earlier supervisor recorded."""
        if app not in self._failing:
            self._failing[app] = dict(self._engine.app_files.probe_results(app))
        return self._failing[app]

    def _forget_others(self, app: str, checked: set[str]) -> None:
        with self._lock:
            failing: Mapping[str, ProbeResult] = self._failures_of(app)
            if failing.keys() <= checked:
                return
            self._failing[app] = {key: result for key, result in failing.items() if key in checked}
            self._engine.app_files.save_probe_results(app, self._failing[app])
