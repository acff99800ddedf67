"""Freezes builds while this machine is short of memory, so that apps keep theirs. What to do is decided in `runtime.builds.pressure`."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from runtime.builds import pressure
from runtime.builds.pressure import BuildContainer, Pressure, Thaw
from runtime.engines.node import NodeEngine

log = logging.getLogger(__name__)


class GivingWay:
    """One for a node. What a killed supervisor left frozen is found in the first round."""

    def __init__(
        self, engine: NodeEngine, *, read: Callable[[], Pressure] = pressure.read, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._engine, self._read, self._clock = engine, read, clock
        self._may_be_frozen = True
        self._thawed_at = float("-inf")

    def round(self) -> None:
        """Look once, and freeze or thaw."""
        now = self._read()
        if not self._may_be_frozen and not pressure.is_tight(now, self._engine.config):
            return
        builds = self._builds()
        for action in pressure.decide(now, builds, self._engine.config, now=self._clock(), thawed_at=self._thawed_at):
            log.info("%s", action.describe())
            self._engine.containers.freeze(action.id, frozen=not isinstance(action, Thaw))
            if isinstance(action, Thaw):
                self._thawed_at = self._clock()
        self._may_be_frozen = any(one.frozen for one in self._builds())

    def let_all_go_on(self) -> None:
        """At the end: nobody would thaw them."""
        for one in self._builds():
            if one.frozen:
                self._engine.containers.freeze(one.id, frozen=False)

    def _builds(self) -> list[BuildContainer]:
        return [
            BuildContainer(id=one.id, created_at=one.created_at, frozen=self._engine.containers.is_frozen(one.id))
            for one in self._engine.build_containers()
        ]
