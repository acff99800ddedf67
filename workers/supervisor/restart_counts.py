"""The counts of instances that ended by themselves or failed their health check, for the charts.

Reconciliation records each such end as a crash in the app's state, and starts the instance again.
An instance that the platform stops has no crash.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from runtime.containers.container import Container
from runtime.converge.container_spec import slot_of
from runtime.converge.observed import Crashes, Slot
from workers.supervisor.usage_samples import name_of

WAIT = 60.0  # seconds after an end in which reconciliation records it as a crash


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ended:
    """An ended instance of which it is not yet known if it crashed."""

    app: str
    slot: Slot
    name: str
    at: float  # Unix time of the report

    def is_crash(self, instance: str, crashes: Crashes | None) -> bool:
        """Return True if the slot's last crash is that of this instance or a later one."""
        return crashes is not None and (crashes.instance == instance or crashes.at >= self.at)


class RestartCounts:
    """The counts. `ended` and `round` may be called from different threads.

    `crashes` reads the recorded crashes of an app by slot.
    """

    def __init__(
        self,
        crashes: Callable[[str], Mapping[Slot, Crashes]],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._crashes, self._clock = crashes, clock
        self._lock = threading.Lock()
        self._ended: dict[str, _Ended] = {}  # instance -> its end
        self._seen: dict[str, float] = {}  # instances that were decided -> time
        self._counts: dict[str, dict[str, int]] = {}

    def ended(self, container: Container) -> None:
        """Note the end of an instance. The same end may be reported several times."""
        slot = slot_of(container)
        with self._lock:
            if container.id in self._seen:
                self._seen[container.id] = self._clock()
            if slot is None or container.id in self._ended or container.id in self._seen:
                return
            self._ended[container.id] = _Ended(
                app=container.spec.app, slot=slot, name=name_of(container), at=self._clock()
            )

    def round(self) -> None:
        """Count the noted ends that were recorded as crashes."""
        with self._lock:
            waiting = dict(self._ended)
        crashes = {app: self._crashes(app) for app in {end.app for end in waiting.values()}}
        now = self._clock()
        with self._lock:
            self._seen = {name: at for name, at in self._seen.items() if now - at < WAIT}
            for instance, end in waiting.items():
                is_crash = end.is_crash(instance, crashes[end.app].get(end.slot))
                if is_crash:
                    self._counts.setdefault(end.app, {})[end.name] = 1
                if is_crash or now - end.at > WAIT:
                    del self._ended[instance]
                    self._seen[instance] = now

    def take(self) -> dict[str, dict[str, int]]:
        """Return the restarts since the last call: app -> name of the ended instance -> 1."""
        with self._lock:
            taken, self._counts = self._counts, {}
            return taken
