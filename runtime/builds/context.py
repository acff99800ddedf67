"""Contains what the parts of one build share: its owner, its limits, its helper process and the
services of the node.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from runtime.builds.budget import Budget
from runtime.builds.layer_cache import StepCache
from runtime.builds.packages.cache import PackageCaches
from runtime.config import NodeConfig
from runtime.confined.session import Session
from runtime.containers.container import Exit, Usage
from runtime.containers.spec import ContainerSpec, Limits, TeamLimits
from runtime.images.disk import check_room
from runtime.images.store import Store
from runtime.kernel import Kernel


class BuildContainers(Protocol):
    """The methods of runtime.containers.lifecycle.Containers that a build needs."""

    def run(
        self,
        spec: ContainerSpec,
        *,
        on_output: Callable[[str, str], None],
        timeout: float,
        cancelled: Callable[[], bool] = ...,
        on_freeze: Callable[[bool], None] = ...,
    ) -> Exit: ...
    def usage(self, id: str) -> Usage | None: ...
    def remove(self, id: str) -> None: ...
    def upper(self, id: str) -> Path: ...
    def set_team_limits(self, team: int, limits: TeamLimits) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildContext:
    """One build: its owner, the resources that it may use, and where it reports."""

    build_id: int
    app: str
    team: int
    limits: Limits
    team_limits: TeamLimits | None = None
    # The app's config vars that steps may see
    config_vars: Mapping[str, str] = field(default_factory=dict)
    workspace: Path
    budget: Budget
    log: Callable[[str], None]
    helper: Session  # the only process that reads trees with a tenant's files
    config: NodeConfig
    store: Store
    containers: BuildContainers
    cache: StepCache
    packages: PackageCaches
    kernel: Kernel = field(default_factory=Kernel)

    def container_id(self, number: int) -> str:
        """Return the name of the container of a step."""
        return f"build-{self.build_id}-{number}"

    def check(self) -> None:
        """Stop the build between two steps: Cancelled, or BuildFailed if its time is used up or the
        disk has become full. Each step has a limit of its own, but thousands of them have none.
        """
        self.budget.check()
        check_room(self.config)

    def progress(self, line: str) -> None:
        """Log a line of long work, and stop that work if the build has to end."""
        self.log(line)
        self.budget.check()

    def apply_team_limits(self) -> None:
        """Set the limits of the team's containers, before one of them starts."""
        if self.team_limits is not None:
            self.containers.set_team_limits(self.team, self.team_limits)
