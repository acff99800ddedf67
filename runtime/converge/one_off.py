"""Runs on a node: one command each, in a container of its own beside the instances. It is started and left to its monitor, so that
neither waiting for it takes a thread nor a killed worker ends it; whoever looks next finds it by its number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from runtime.containers.container import Container, Exit
from runtime.containers.lifecycle import Containers
from runtime.containers.spec import Limits
from runtime.converge import container_spec, explain
from runtime.converge.desired import DesiredApp, DesiredRelease
from runtime.images.store import Store

GRACE_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOrder:
    """What is to run. `number` is unique among all runs there ever were."""

    number: int
    source: str  # in the app's log: cron.NAME
    command: str
    limits: Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """The caller holds a lock an app, so that nobody else starts or removes its runs."""

    containers: Containers
    images: Store
    ship_last: Callable[[str], None]
    last_lines: Callable[[str], list[str]]

    def start(self, desired: DesiredApp, release: DesiredRelease, order: RunOrder) -> None:
        """RuntimeFailure: nothing of it is left. A second container for the same number is refused."""
        image = self.images.image(release.image)
        name = container_spec.new_name(desired.app, order.source, f"run{order.number}")
        spec = container_spec.spec_for_run(
            desired, release, image, id=name, run=order.number, source=order.source, command=order.command, limits=order.limits
        )
        self.containers.set_team_limits(desired.team, desired.team_limits)
        self.containers.launch(spec)

    def all(self) -> list[Container]:
        """Every run's container on this node, whether it goes on or has ended."""
        return [container for container in self.containers.list() if container.spec.labels.get("kind") == container_spec.RUN]

    def of(self, app: str) -> dict[int, Container]:
        """An app's, by number."""
        return {int(container.spec.labels["run"]): container for container in self.all() if container.spec.app == app}

    def why(self, container: Container, end: Exit | None) -> str:
        """How it ended, with its last lines."""
        return explain.exited(end, lived=None, log=self.last_lines(container.id))

    def stop(self, container: Container) -> None:
        """SIGTERM, then SIGKILL; its log stays until it is removed."""
        self.containers.stop(container.id, GRACE_SECONDS)

    def remove(self, container: Container) -> None:
        """All of it, after its last words reached the app's log."""
        self.containers.stop(container.id, GRACE_SECONDS)
        self.ship_last(container.id)
        self.containers.remove(container.id)

    def remove_all(self, app: str) -> None:
        """Of an app that goes."""
        for container in self.of(app).values():
            self.remove(container)
