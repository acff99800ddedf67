"""Run an install step in a build container with the team's limits, no config vars and a read-only source.

The folders that the step writes become a layer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from runtime.builds.budget import FROZEN_MOST, Budget
from runtime.builds.package_cache import OVERFLOW, Lent
from runtime.builds.package_sources import Surroundings
from runtime.builds.steps import TEXTS, Install
from runtime.confined.session import Confinement
from runtime.containers.container import Exit
from runtime.containers.spec import Bind, ContainerSpec, Limits, Purpose, TeamLimits
from runtime.contract.quantities import Bytes
from runtime.errors import BuildFailed, CacheTooLarge, Cancelled
from runtime.images.layers import sanitizing

WORKSPACE = "slipway.workspace"  # label: the folder of the build that a container belongs to
_SOURCE = "/build/source"
_SCRIPT = """set -e
mkdir -p /app "$HOME"
cp -R {source}/. /app/
cd /app
{command}
"""


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
    def remove(self, id: str) -> None: ...
    def upper(self, id: str) -> Path: ...
    def set_team_limits(self, team: int, limits: TeamLimits) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The owner of a step, and the resources that it may use."""

    container_id: str
    app: str
    team: int
    limits: Limits
    workspace: Path
    budget: Budget


def run_install(
    containers: BuildContainers,
    install: Install,
    order: Order,
    *,
    layers: tuple[Path, ...],
    inputs: Path,
    texts: Path,
    around: Surroundings,
    log: Callable[[str], None],
    cancelled: Callable[[], bool],
    cache: Lent | None = None,
) -> Path:
    """Run a step and return the tree that it made, below the workspace.

    BuildFailed names the step; the log then has its output.
    CacheTooLarge: the step was stopped because it wrote too much to `cache`.
    """
    around = cache.around(around, install.tool) if cache is not None else around
    spec = ContainerSpec(
        id=order.container_id,
        app=order.app,
        team=order.team,
        layers=layers,
        command=("/bin/sh", "-c", _SCRIPT.format(source=_SOURCE, command=install.command)),
        environment=around.environment,
        uid=0,  # root only in the container's own user namespace; the app, as 1000, cannot change the installed files
        gid=0,
        limits=order.limits,
        binds=(Bind(source=inputs, target=_SOURCE), Bind(source=texts, target=TEXTS), *around.binds),
        purpose=Purpose.BUILD,
        labels={WORKSPACE: order.workspace.name},
    )
    containers.remove(spec.id)  # of a build that was killed
    try:
        end = run_within(
            containers,
            spec,
            order.budget,
            on_output=lambda _, line: _say(line, log),
            cancelled=lambda: cancelled() or (cache is not None and cache.overflows()),
        )
        if cancelled():
            raise Cancelled("The build was cancelled.")
        if cache is not None and cache.overflowed:
            raise CacheTooLarge(f"{install.name}: the package cache exceeded {Bytes(cache.most * OVERFLOW)}.")
        if order.budget.is_over():
            raise BuildFailed(
                f"{install.name}: `{install.shown}` reached its time limit and was stopped.", hint="Use fewer or smaller dependencies."
            )
        if end.code != 0:
            raise BuildFailed(f"{install.name}: `{install.tool}` failed. {end.explain()}", hint="See the build log.")
        return _collect(containers.upper(spec.id), install, order.workspace / f"made-{order.container_id}", order)
    finally:
        containers.remove(spec.id)


def run_within(
    containers: BuildContainers,
    spec: ContainerSpec,
    budget: Budget,
    *,
    on_output: Callable[[str, str], None],
    cancelled: Callable[[], bool],
) -> Exit:
    """Run a build container until it ends, is cancelled, or has used up the build's time.

    Time in which the container is frozen does not count.
    """

    def is_to_end() -> bool:
        return cancelled() or budget.is_over()

    longest = budget.left() + FROZEN_MOST + 1  # the budget ends it earlier
    try:
        return containers.run(spec, on_output=on_output, timeout=longest, cancelled=is_to_end, on_freeze=budget.freeze)
    finally:
        budget.freeze(False)


def _collect(upper: Path, install: Install, made: Path, order: Order) -> Path:
    """Copy the step's folders from a stopped container's writable layer, in a confined helper of the team."""
    made.mkdir(mode=0o755)
    with Confinement().session(order.team) as helper:
        helper.call(
            sanitizing.collect,
            upper=helper.tree(upper, writable=True),
            into=helper.tree(made, writable=True),
            folders=install.keep,
            most=order.limits.disk,
        )
    return made


def _say(line: str, log: Callable[[str], None]) -> None:
    if line.strip():
        log(f"    {line}")
