"""The duty that copies the output of instances into the apps' logs, a few times per second.

`runtime.logs.shipping` does the copying.
"""

from __future__ import annotations

from runtime.engines.node import NodeEngine
from workers.supervisor.instance_cache import InstanceCache


class LogShipping:
    """Log shipping that skips instances without new output. That costs one stat(2) per instance."""

    def __init__(self, engine: NodeEngine, instance_cache: InstanceCache) -> None:
        self._engine, self._instance_cache = engine, instance_cache
        self._sizes: dict[str, int] = {}

    def round(self) -> None:
        """Ship the new output of all instances once."""
        sizes: dict[str, int] = {}
        for container in self._instance_cache.instances():
            try:
                size = self._engine.containers.log_path(container.id).stat().st_size
            except FileNotFoundError:
                continue  # just removed; its last lines were copied before that
            if size != self._sizes.get(container.id):
                self._engine.ship(container)
            sizes[container.id] = size
        self._sizes = sizes
