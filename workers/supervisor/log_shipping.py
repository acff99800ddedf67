"""Carries what instances print into their apps' logs, a few times a second. The carrying itself is `runtime.logs.shipping`'s."""

from __future__ import annotations

from runtime.engines.node import NodeEngine
from workers.supervisor.instance_cache import Roster


class LogShipping:
    """Skips instances that printed nothing since the last round: one stat(2) each."""

    def __init__(self, engine: NodeEngine, roster: Roster) -> None:
        self._engine, self._roster = engine, roster
        self._sizes: dict[str, int] = {}

    def round(self) -> None:
        """Once over all instances."""
        sizes: dict[str, int] = {}
        for container in self._roster.instances():
            try:
                size = self._engine.containers.log_path(container.id).stat().st_size
            except FileNotFoundError:
                continue  # just removed; its last lines were carried before that
            if size != self._sizes.get(container.id):
                self._engine.ship(container)
            sizes[container.id] = size
        self._sizes = sizes
