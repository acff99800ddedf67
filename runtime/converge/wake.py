"""The wake of a sleeping app by its first request.

It does not wait for a plan; the next plan follows.
"""

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
from runtime.converge.probing.probe import Prober
from runtime.logs.shipping import Shipper
from runtime.router.router import Router
from runtime.router.routes import AppRoutes, AppSituation, Endpoint

WOKEN = "A request woke the app."


@dataclass(frozen=True, slots=True, kw_only=True)
class Booting:
    """An instance with requests that a wake has started.

    It gets traffic as soon as it passes `check`.
    """

    container: Container
    endpoint: Endpoint
    slot: Slot
    check: HealthCheck
    host: str


class Waker:
    """The wake of apps. `path` is the file of the app's stored state.

    The caller holds the app's lock for `wake` and `admit`, and not for `answers`.
    """

    def __init__(
        self,
        *,
        containers: Containers,
        router: Router,
        prober: Prober,
        shipper: Shipper,
        clock: Callable[[], float],
    ) -> None:
        self._containers, self._router, self._prober, self._shipper, self._clock = (
            containers,
            router,
            prober,
            shipper,
            clock,
        )

    def wake(self, app: str, path: Path, instances: Sequence[Container]) -> tuple[Booting, ...]:
        """Thaw or start an app's instances, and return the started ones.

        If this process is killed in between, the app is already recorded as awake.
        """
        state = app_state.load(path)
        if state.asleep is None:
            return ()
        routes = self._router.route(app)
        app_state.save(path, state.woken(self._clock()))
        booting = []
        for container in instances:
            if container.status is Status.RUNNING:
                self._containers.freeze(container.id, frozen=False)
            elif container.status is Status.CREATED:
                self._containers.start(container.id)
                booting += self._booting(container, routes)
        if routes is not None:
            self._router.set(
                routes.with_situation(
                    WEB, AppSituation.SERVING if routes.taking() else AppSituation.HOLDING
                ),
                durable=False,
            )
        self._shipper.say(app, WOKEN, at=self._clock())
        return tuple(booting)

    def passes_check(self, booting: Booting) -> bool:
        """Return whether the instance passes its check now. Takes at most the check's timeout."""
        return self._prober.check(booting.container, booting.host, booting.check).healthy

    def admit(self, path: Path, booting: Booting) -> bool:
        """Route requests to an instance that passed its check, and return whether they are served.

        Does nothing if reconciliation was faster. The instance is recorded as reconciliation would
        do it: its requests are counted, and draining waits for them.
        """
        state, routes = app_state.load(path), self._router.route(booting.container.spec.app)
        process = booting.endpoint.process
        situation = routes.situation_of(process) if routes is not None else None
        if routes is None or situation is not AppSituation.HOLDING:
            return situation is AppSituation.SERVING
        found, marks = (
            self._containers.state(booting.container.id),
            state.marks.get(booting.container.id, InstanceState()),
        )
        if (
            found is None
            or found.status is not Status.RUNNING
            or marks.condemned
            or marks.draining_since is not None
        ):
            return False  # it ended or is to be stopped
        if (
            state.asleep is not None
            or state.serving != booting.slot.group
            or booting.endpoint in routes.endpoints
        ):
            return False  # a deploy came in between
        now = self._clock()
        after = now - (found.started_at or now)
        app_state.save(
            path,
            state.noting(
                MarkReady(
                    instance=booting.container.id,
                    slot=booting.slot,
                    at=now,
                    after=after,
                    check=booting.check,
                )
            ),
        )
        self._router.set(
            replace(
                routes.with_situation(process, AppSituation.SERVING),
                endpoints=(*routes.endpoints, booting.endpoint),
            ),
            durable=False,
        )
        return True

    def _booting(self, container: Container, routes: AppRoutes | None) -> list[Booting]:
        """Return the instance as booting, or nothing if its check is a command.

        A command is too expensive to run a hundred times a second.
        """
        check, slot = container_spec.check_of(container), container_spec.slot_of(container)
        if (
            routes is None
            or check is None
            or check.kind is CheckKind.COMMAND
            or slot is None
            or container.address is None
        ):
            return []
        if slot.process != WEB and not any(path.process == slot.process for path in routes.paths):
            return []  # no path leads there any more
        port = int(container.spec.labels["port"])
        end = Endpoint(
            instance=container.id, address=container.address, port=port, process=slot.process
        )
        return [
            Booting(
                container=container,
                endpoint=end,
                slot=slot,
                check=check,
                host=next(iter(routes.hosts), routes.app),
            )
        ]
