"""Asks every instance that is ready for its health, as long as it lives, and writes down which ones fail.

Asking is done by a pool of threads that nobody waits for, and no app has more than a few of them: one whose instances hang holds
up neither the others nor whoever converges. Deciding what follows is `runtime.converge.planning.liveness`'.
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
from workers.supervisor.instance_cache import Roster

log = logging.getLogger(__name__)
SIDE_BY_SIDE = 32  # threads, made as they are needed
OF_ONE_APP = 4
LONGEST_TROUBLE = 300  # characters


class Pulses:
    """`round` now and then, from any one thread. `changed` is told of an app for which something follows from its instances' health."""

    def __init__(
        self, engine: NodeEngine, roster: Roster, *, changed: Callable[[str], None], clock: Callable[[], float] = time.time
    ) -> None:
        self._engine, self._roster, self._changed, self._clock = engine, roster, changed, clock
        self._pool = ThreadPoolExecutor(max_workers=SIDE_BY_SIDE, thread_name_prefix="pulse")
        self._lock = threading.Lock()  # over what follows
        self._due: dict[str, float] = {}  # instance -> when it is asked next
        self._asked: Counter[str] = Counter()  # app -> how many of it are being asked
        self._under_way: set[str] = set()  # instances
        self._failing: dict[str, dict[str, ProbeResult]] = {}  # app -> instance -> how it fails

    def round(self) -> None:
        """Begin to ask those that are due; the answers are written down as they come."""
        now = self._clock()
        instances: dict[str, list[Container]] = {}
        for container in self._roster.instances():
            if container.spec.labels["kind"] == INSTANCE:
                instances.setdefault(container.spec.app, []).append(container)
        living: set[str] = set()
        for app, containers in instances.items():
            checks = self._engine.to_be_asked(app)
            asked = [one for one in containers if one.id in checks and one.status is Status.RUNNING and one.address is not None]
            living |= {one.id for one in asked}
            self._forget_others(app, {one.id for one in asked})
            for one in sorted(asked, key=lambda one: self._due.get(one.id, 0.0)):
                self._ask_if_due(one, checks[one.id], now)
        with self._lock:
            self._due = {key: due for key, due in self._due.items() if key in living}
            for app in self._failing.keys() - instances.keys():
                del self._failing[app]

    def stop(self) -> None:
        """Begin no more; what is being asked has its own deadline."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _ask_if_due(self, container: Container, check: HealthCheck, now: float) -> None:
        app = container.spec.app
        with self._lock:
            if container.id not in self._due:  # spread over the interval: they may all have become ready together
                self._due[container.id] = now + check.interval * (zlib.crc32(container.id.encode()) % 1000 / 1000)
            if self._due[container.id] > now or container.id in self._under_way or self._asked[app] >= OF_ONE_APP:
                return
            self._due[container.id] = now + check.interval
            self._under_way.add(container.id)
            self._asked[app] += 1
        self._pool.submit(self._ask, container, check)

    def _ask(self, container: Container, check: HealthCheck) -> None:
        app = container.spec.app
        try:
            answer = self._engine.check_health(container, check)
            follows = check.attempts <= self._note(app, container.id, answer)
        except Exception:  # the edge of the thread: recorded, and asked again when it is due
            log.exception("%s could not be asked for its health", container.id)
            follows = False
        finally:
            with self._lock:
                self._under_way.discard(container.id)
                self._asked[app] -= 1
                if not self._asked[app]:
                    del self._asked[app]
        if follows:
            self._changed(app)

    def _note(self, app: str, id: str, answer: ProbeAnswer) -> int:
        """Write down what changed; how many failures in a row there are, or were before this success."""
        with self._lock:
            failing = self._known(app)
            before = failing[id].failures if id in failing else 0
            if answer.healthy and not before:
                return 0
            if answer.healthy:
                del failing[id]
            else:
                failing[id] = ProbeResult(failures=before + 1, at=self._clock(), trouble=answer.describe()[:LONGEST_TROUBLE])
            self._engine.note_pulses(app, failing)
            return before if answer.healthy else before + 1

    def _known(self, app: str) -> dict[str, ProbeResult]:
        """Goes on from what a supervisor before us wrote down."""
        if app not in self._failing:
            self._failing[app] = dict(self._engine.pulses_of(app))
        return self._failing[app]

    def _forget_others(self, app: str, asked: set[str]) -> None:
        with self._lock:
            failing: Mapping[str, ProbeResult] = self._known(app)
            if failing.keys() <= asked:
                return
            self._failing[app] = {key: pulse for key, pulse in failing.items() if key in asked}
            self._engine.note_pulses(app, self._failing[app])
