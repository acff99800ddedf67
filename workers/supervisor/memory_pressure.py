"""The duty that freezes builds while the machine is short of memory, so that apps keep theirs.

`runtime.builds.pressure` decides which builds to freeze.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from runtime.builds import pressure
from runtime.builds.pressure import BuildContainer, Pressure, Thaw
from runtime.engines.node import NodeEngine

log = logging.getLogger(__name__)


class MemoryPressure:
    """The freezer of a node's builds.

    Its first round finds builds that a killed supervisor left frozen.
    """

    def __init__(
        self,
        engine: NodeEngine,
        *,
        read: Callable[[], Pressure] = pressure.read,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine, self._read, self._clock = engine, read, clock
        self._may_be_frozen = True
        self._thawed_at = float("-inf")

    def round(self) -> None:
        """Read the memory pressure once, and freeze or thaw builds."""
        now = self._read()
        if not self._may_be_frozen and not pressure.is_tight(now, self._engine.config):
            return
        builds = self._builds()
        for action in pressure.decide(
            now, builds, self._engine.config, now=self._clock(), thawed_at=self._thawed_at
        ):
            log.info("%s", action.describe())
            self._engine.containers.freeze(action.id, frozen=not isinstance(action, Thaw))
            if isinstance(action, Thaw):
                self._thawed_at = self._clock()
        self._may_be_frozen = any(build.frozen for build in self._builds())

    def thaw_all(self) -> None:
        """Thaw all builds when the supervisor ends, because nothing else would thaw them."""
        for build in self._builds():
            if build.frozen:
                self._engine.containers.freeze(build.id, frozen=False)

    def _builds(self) -> list[BuildContainer]:
        return [
            BuildContainer(
                id=container.id,
                created_at=container.created_at,
                frozen=self._engine.containers.is_frozen(container.id),
            )
            for container in self._engine.build_containers()
        ]
