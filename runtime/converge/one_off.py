"""One-off runs on a node: one command each, in its own container next to the instances.

A run is started and left to its monitor. Waiting for it takes no thread, and a killed worker does
not end it. Any later process finds it by its number.
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
    """A command to run. `number` is unique among all runs of all time."""

    number: int
    source: str  # its name in the app's log: cron.NAME
    command: str
    limits: Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """The one-off runs of a node.

    The caller holds the app's lock, so that no other process changes its runs.
    """

    containers: Containers
    images: Store
    ship_ended: Callable[[str], None]  # the run's files stay
    ship_last: Callable[[str], None]
    last_lines: Callable[[str], list[str]]

    def start(self, desired: DesiredApp, release: DesiredRelease, order: RunOrder) -> None:
        """Start a run. A second container with the same number is refused.

        Raises RuntimeFailure; then nothing of the run is left.
        """
        image = self.images.image(release.image)
        name = container_spec.new_name(desired.app, order.source, f"run{order.number}")
        spec = container_spec.spec_for_run(
            desired,
            release,
            image,
            id=name,
            run=order.number,
            source=order.source,
            command=order.command,
            limits=order.limits,
        )
        self.containers.set_team_limits(desired.team, desired.team_limits)
        self.containers.launch(spec)

    def all(self) -> list[Container]:
        """Return the containers of all runs on this node, running or ended."""
        return [
            container
            for container in self.containers.list()
            if container.spec.labels.get("kind") == container_spec.RUN
        ]

    def of(self, app: str) -> dict[int, Container]:
        """Return the containers of an app's runs, by number."""
        return {
            int(container.spec.labels["run"]): container
            for container in self.all()
            if container.spec.app == app
        }

    def why(self, container: Container, end: Exit | None) -> str:
        """Return the reason why it ended, with its last log lines."""
        return explain.exited(end, lived=None, log=self.last_lines(container.id))

    def ship_rest(self, container: Container) -> None:
        """Copy an ended run's remaining output to the app's log, before its outcome is recorded."""
        self.ship_ended(container.id)

    def stop(self, container: Container) -> None:
        """Stop a run with SIGTERM, then SIGKILL. Its log stays until the run is removed."""
        self.containers.stop(container.id, GRACE_SECONDS)

    def remove(self, container: Container) -> None:
        """Stop a run, ship the rest of its log, and remove its container."""
        self.containers.stop(container.id, GRACE_SECONDS)
        self.ship_last(container.id)
        self.containers.remove(container.id)

    def remove_all(self, app: str) -> None:
        """Remove all runs of an app that is deleted."""
        for container in self.of(app).values():
            self.remove(container)
