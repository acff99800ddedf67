"""Release phases: one command per release, in a container of its own, before the rollout."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from runtime.containers.container import Container, Exit
from runtime.containers.lifecycle import Containers
from runtime.containers.spec import Limits
from runtime.converge import container_spec, explain
from runtime.converge.desired import DesiredApp, DesiredRelease
from runtime.errors import LaunchFailed
from runtime.images.store import Store
from runtime.logs.shipping import Shipper
from runtime.masking import Mask

_LAST_LINES = 10  # of the output, for the error message


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasePhases:
    """The release phases of a node."""

    containers: Containers
    images: Store
    shipper: Shipper
    clock: Callable[[], float]  # Unix seconds

    def run(
        self,
        desired: DesiredApp,
        release: DesiredRelease,
        command: str,
        limits: Limits,
        *,
        timeout: float,
        cancelled: Callable[[], bool],
    ) -> None:
        """Run the release phase, logging to the app. Raises LaunchFailed with its last lines."""
        self.remove(desired.app)
        image = self.images.image(release.image)
        phase = container_spec.new_name(desired.app, "release", secrets.token_hex(4))
        spec = container_spec.spec_for_release_phase(
            desired, release, image, id=phase, command=command, limits=limits
        )
        self.containers.set_team_limits(desired.team, desired.team_limits)
        last: list[str] = []
        mask, source = (
            Mask(release.environment.values()),
            container_spec.source_of(phase, "release"),
        )

        def keep(stream: str, text: str) -> None:
            text = mask(text)
            last[:] = [*last, text][-_LAST_LINES:]
            self.shipper.say(desired.app, text, at=self.clock(), source=source, stream=stream)

        try:
            end = self.containers.run(spec, on_output=keep, timeout=timeout, cancelled=cancelled)
        finally:
            self.containers.remove(phase)
        _check(end, command, last)

    def remove(self, app: str) -> None:
        """Remove release phases of killed workers. The caller is the only one to run any."""
        for container in self.containers_of_all():
            if container.spec.app == app:
                self.containers.remove(container.id)

    def containers_of_all(self) -> list[Container]:
        """Return the containers of all apps, running or left by a killed worker."""
        return [
            container
            for container in self.containers.list()
            if container.spec.labels.get("kind") == container_spec.RELEASE_PHASE
        ]


def _check(end: Exit, command: str, last: list[str]) -> None:
    if end.code != 0:
        raise LaunchFailed(
            f"The release phase `{command}` failed. {explain.exited(end, lived=None, log=last)}"
        )
