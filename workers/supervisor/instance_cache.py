"""A cache of the node's instances and runs for all duties of the supervisor.

It reads the folders of instances once instead of four times.
"""

from __future__ import annotations

import threading
import time

from runtime.containers.container import Container
from runtime.engines.node import NodeEngine

FRESH = 0.4  # seconds; the longest delay until a new instance is noticed


class InstanceCache:
    """The cached list of instances and runs. Safe to use from several threads."""

    def __init__(self, engine: NodeEngine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._seen: list[Container] = []
        self._at = float("-inf")

    def instances(self) -> list[Container]:
        """Return all instances and runs, as seen at most FRESH seconds ago."""
        with self._lock:
            if time.monotonic() - self._at > FRESH:
                self._seen, self._at = self._engine.watched(), time.monotonic()
            return self._seen
