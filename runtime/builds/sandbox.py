"""Run an install step in a build container with the team's limits and a read-only source.

The folders that the step writes become a layer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from runtime.builds.budget import FROZEN_MOST
from runtime.builds.context import BuildContext
from runtime.builds.packages.cache import OVERFLOW, MountedCache
from runtime.builds.packages.sources import ToolSettings
from runtime.builds.steps import TEXTS, Install
from runtime.confined.session import Confinement
from runtime.containers.container import Exit, Usage
from runtime.containers.spec import Bind, ContainerSpec, Purpose
from runtime.contract.quantities import Bytes
from runtime.errors import CacheTooLarge, StepFailed
from runtime.images.layers import sanitizing
from runtime.masking import Mask

WORKSPACE = "slipway.workspace"  # label: the folder of the build that a container belongs to
_SOURCE = "/build/source"
_LINES = 400  # of a step's output that are kept to explain a failure
_SCRIPT = """set -e
mkdir -p /app "$HOME"
cp -R {source}/. /app/
cd /app
{command}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallRun:
    """One run of an install step."""

    install: Install
    id: str  # of its container
    layers: tuple[Path, ...]  # topmost first
    inputs: Path  # the files of the source that the step sees
    texts: Path  # the files that Slipway wrote for its command
    around: ToolSettings
    variables: Mapping[str, str]  # config vars that the step sees; the log shows no value


def run_install(
    context: BuildContext,
    run: InstallRun,
    cache: MountedCache | None = None,
    *,
    on_usage: Callable[[Usage | None], None],
) -> Path:
    """Run a step and return the tree that it made, below the workspace.

    `on_usage` gets what the container had used at its end, also if the step failed.

    BuildFailed names the step; the log then has its output.
    CacheTooLarge: the step was stopped because it wrote too much to `cache`.
    """
    install, budget = run.install, context.budget
    around = cache.around(run.around, install.tool) if cache is not None else run.around
    spec = ContainerSpec(
        id=run.id,
        app=context.app,
        team=context.team,
        layers=run.layers,
        command=("/bin/sh", "-c", _SCRIPT.format(source=_SOURCE, command=install.command)),
        environment={**run.variables, **around.environment},
        # root only in the container's own user namespace; the app, as 1000, cannot change the
        # installed files
        uid=0,
        gid=0,
        limits=context.limits,
        binds=(
            Bind(source=run.inputs, target=_SOURCE),
            Bind(source=run.texts, target=TEXTS),
            *around.binds,
        ),
        purpose=Purpose.BUILD,
        labels={WORKSPACE: context.workspace.name},
    )
    context.containers.remove(spec.id)  # of a build that was killed
    mask = Mask(run.variables.values())
    output: deque[str] = deque(maxlen=_LINES)

    def log(line: str) -> None:
        output.append(mask(line))
        context.log(mask(line))

    try:
        end = run_within(
            context,
            spec,
            log=log,
            is_to_end=cache.overflows if cache is not None else lambda: False,
        )
        on_usage(context.containers.usage(spec.id))
        if cache is not None and cache.overflowed and not budget.is_cancelled():
            raise CacheTooLarge(
                f"{install.name}: the package cache exceeded {Bytes(cache.most * OVERFLOW)}."
            )
        budget.check(
            f"{install.name}: `{install.shown}` reached its time limit and was stopped.",
            hint="Use fewer or smaller dependencies.",
        )
        if end.code != 0:
            raise StepFailed(
                f"{install.name}: `{install.tool}` failed. {end.explain()}",
                hint="See the build log.",
                output=tuple(output),
            )
        return _collect(context, run)
    finally:
        context.containers.remove(spec.id)


def run_within(
    context: BuildContext,
    spec: ContainerSpec,
    *,
    log: Callable[[str], None],
    is_to_end: Callable[[], bool],
) -> Exit:
    """Run a build container until it ends, `is_to_end()` is true, or the build is cancelled or has
    used up its time.

    `log` gets its output. Time in which the container is frozen does not count.
    """
    budget = context.budget

    def cancelled() -> bool:
        return budget.is_cancelled() or is_to_end() or budget.is_over()

    def on_output(_: str, line: str) -> None:
        if line.strip():
            log(f"    {line}")

    longest = budget.left() + FROZEN_MOST + 1  # the budget ends it earlier
    try:
        return context.containers.run(
            spec, on_output=on_output, timeout=longest, cancelled=cancelled, on_freeze=budget.freeze
        )
    finally:
        budget.freeze(False)


def _collect(context: BuildContext, run: InstallRun) -> Path:
    """Copy the step's folders from a stopped container's writable layer, in a confined helper of
    the team.
    """
    made = context.workspace / f"made-{run.id}"
    made.mkdir(mode=0o755)
    with Confinement().session(context.team) as helper:
        helper.call(
            sanitizing.collect,
            upper=helper.tree(context.containers.upper(run.id), writable=True),
            into=helper.tree(made, writable=True),
            folders=run.install.keep,
            most=context.limits.disk,
        )
    return made
