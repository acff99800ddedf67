"""Waking a sleeping app for the first request that comes: past all plans, which are looked at afterwards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from runtime.containers.container import Container, Status
from runtime.containers.lifecycle import Containers
from runtime.contract.health import CheckKind, HealthCheck
from runtime.converge import app_state, container_spec
from runtime.converge.actions import MarkReady
from runtime.converge.observed import WEB, InstanceState, Slot
from runtime.converge.probe import Prober
from runtime.logs.shipping import Shipper
from runtime.router.router import Router
from runtime.router.routes import AppRoutes, AppSituation, Endpoint

WOKEN = "It slept, and was woken by a request."


@dataclass(frozen=True, slots=True, kw_only=True)
class Booting:
    """An instance that waking has started, of web or of a path's process type: it is let in as soon as it passes `check`."""

    container: Container
    endpoint: Endpoint
    place: Slot
    check: HealthCheck
    host: str


class Waker:
    """The caller holds the app's lock for `wake` and `admit`, and not for `answers`. `path` is of the app's record."""

    def __init__(self, *, containers: Containers, router: Router, asker: Prober, shipper: Shipper, clock: Callable[[], float]) -> None:
        self._containers, self._router, self._asker, self._shipper, self._clock = containers, router, asker, shipper, clock

    def wake(self, app: str, path: Path, instances: Sequence[Container]) -> tuple[Booting, ...]:
        """Let an app's instances run again; what had to be started is given back. Killed in between, the app is known to be awake."""
        known = app_state.load(path)
        if known.asleep is None:
            return ()
        routes = self._router.route(app)
        app_state.save(path, known.woken(self._clock()))
        booting = []
        for container in instances:
            if container.status is Status.RUNNING:
                self._containers.freeze(container.id, frozen=False)
            elif container.status is Status.CREATED:
                self._containers.start(container.id)
                booting += self._booting(container, routes)
        if routes is not None:
            self._router.set(routes.with_situation(WEB, AppSituation.SERVING if routes.taking() else AppSituation.HOLDING), durable=False)
        self._shipper.say(app, WOKEN, at=self._clock())
        return tuple(booting)

    def answers(self, one: Booting) -> bool:
        """Whether it passes its check now. Takes the check's timeout at most."""
        return self._asker.check(one.container, one.host, one.check).healthy

    def admit(self, path: Path, one: Booting) -> bool:
        """Open its process type's routes to an instance that passes its check, unless converging was quicker; whether they are open.

        Written down as converging would: a request goes to it like all others, is counted, and is waited for when it drains.
        """
        known, routes = app_state.load(path), self._router.route(one.container.spec.app)
        process = one.endpoint.process
        situation = routes.situation_of(process) if routes is not None else None
        if routes is None or situation is not AppSituation.HOLDING:
            return situation is AppSituation.SERVING
        found, marks = self._containers.state(one.container.id), known.marks.get(one.container.id, InstanceState())
        if found is None or found.status is not Status.RUNNING or marks.condemned or marks.draining_since is not None:
            return False  # it ended, or is on its way out
        if known.asleep is not None or known.serving != one.place.group or one.endpoint in routes.endpoints:
            return False  # a deploy came in between
        now = self._clock()
        after = now - (found.started_at or now)
        app_state.save(path, known.noting(MarkReady(instance=one.container.id, place=one.place, at=now, after=after, check=one.check)))
        self._router.set(
            replace(routes.with_situation(process, AppSituation.SERVING), endpoints=(*routes.endpoints, one.endpoint)), durable=False
        )
        return True

    def _booting(self, container: Container, routes: AppRoutes | None) -> list[Booting]:
        """Nothing for those whose check is a command: to run one is too much to do a hundred times a second."""
        check, place = container_spec.check_of(container), container_spec.slot_of(container)
        if routes is None or check is None or check.kind is CheckKind.COMMAND or place is None or container.address is None:
            return []
        if place.process != WEB and not any(path.process == place.process for path in routes.paths):
            return []  # no path leads there any more
        port = int(container.spec.labels["port"])
        end = Endpoint(instance=container.id, address=container.address, port=port, process=place.process)
        return [Booting(container=container, endpoint=end, place=place, check=check, host=next(iter(routes.hosts), routes.app))]
