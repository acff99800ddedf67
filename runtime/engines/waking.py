"""Waking a sleeping app for the first request that comes: past all plans, which are looked at afterwards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from runtime.containers.container import Container, Status
from runtime.containers.lifecycle import Containers
from runtime.converge import instance, record
from runtime.converge.asking import Asker
from runtime.converge.observed import WEB
from runtime.engines.shipping import Shipper
from runtime.health import CheckKind, HealthCheck
from runtime.router.control import Router
from runtime.router.table import AppRoutes, AppSituation, Endpoint
from runtime.router.wake import may_wake

WOKEN = "It slept, and was woken by a request."


@dataclass(frozen=True, slots=True, kw_only=True)
class Booting:
    """A web instance that waking has started: whom to send the request to as soon as it passes `check`."""

    container: Container
    endpoint: Endpoint
    check: HealthCheck
    host: str


class Waker:
    """The caller holds the app's lock for `wake`, and not for `answers`."""

    def __init__(self, *, containers: Containers, router: Router, asker: Asker, shipper: Shipper, clock: Callable[[], float]) -> None:
        self._containers, self._router, self._asker, self._shipper, self._clock = containers, router, asker, shipper, clock

    def wake(self, app: str, path: Path, instances: Sequence[Container], serves: Callable[[Endpoint], None]) -> tuple[Booting, ...]:
        """Let an app's instances run again; `path` is of its record. See `NodeEngine.wake`."""
        known = record.load(path)
        if known.asleep is None:
            return ()
        routes = self._router.route(app)
        serving = {end.instance: end for end in routes.endpoints if not end.draining} if routes is not None else {}
        record.save(path, known.woken(self._clock()))
        booting = []
        for container in instances:
            if container.status is Status.RUNNING:
                self._thaw(container, serving.get(container.id), serves)
            elif container.status is Status.CREATED:
                self._containers.start(container.id)
                booting += self._booting(container, routes)
        if routes is not None:
            self._router.set(replace(routes, situation=AppSituation.SERVING if serving else AppSituation.HOLDING))
        self._shipper.say(app, WOKEN, at=self._clock())
        return tuple(booting)

    def answers(self, one: Booting) -> bool:
        """Whether it passes its check now. Takes the check's timeout at most."""
        return self._asker.check(one.container, one.host, one.check).healthy

    def _thaw(self, container: Container, end: Endpoint | None, serves: Callable[[Endpoint], None]) -> None:
        self._containers.freeze(container.id, frozen=False)
        if end is not None and may_wake(end) and not self._containers.is_frozen(container.id):  # by who copies it
            serves(end)

    def _booting(self, container: Container, routes: AppRoutes | None) -> list[Booting]:
        """Nothing for those whose check is a command: to run one is too much to do a hundred times a second."""
        check, place = instance.check_of(container), instance.place_of(container)
        if routes is None or check is None or check.kind is CheckKind.COMMAND or place is None or container.address is None:
            return []
        end = Endpoint(instance=container.id, address=container.address, port=int(container.spec.labels["port"]), process=WEB)
        return [Booting(container=container, endpoint=end, check=check, host=next(iter(routes.hosts), routes.app))]
