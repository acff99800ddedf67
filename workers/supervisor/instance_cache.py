"""The node's instances and runs as last seen, shared by all that the supervisor does, so that the folders are read once and not four times."""

from __future__ import annotations

import threading
import time

from runtime.containers.container import Container
from runtime.engines.node import NodeEngine

FRESH = 0.4  # seconds; how late a new instance is noticed at most


class Roster:
    """Safe to use from several threads."""

    def __init__(self, engine: NodeEngine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._seen: list[Container] = []
        self._at = float("-inf")

    def instances(self) -> list[Container]:
        """All instances and runs, at most FRESH seconds old."""
        with self._lock:
            if time.monotonic() - self._at > FRESH:
                self._seen, self._at = self._engine.watched(), time.monotonic()
            return self._seen
