"""Tests that the limits of a team do not decide the layer of an install step of another team."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from runtime.builds.budget import Budget
from runtime.builds.context import BuildContext
from runtime.builds.install_steps import StepRunner
from runtime.builds.layer_cache import StepCache
from runtime.builds.packages.cache import PackageCaches
from runtime.builds.steps import Install, Tool
from runtime.confined.session import Confinement
from runtime.containers.spec import Limits
from runtime.contract.quantities import Bytes
from runtime.images.manifest import Layer
from runtime.images.scratch import remove_tree
from runtime.stacks.builder import ensure_runtime
from runtime.stacks.definition import PYTHON, PYTHON_DEFAULT
from tests.runtime.builds.conftest import LIMITS, Forge

LARGE = "python3 -c 'bytearray(300 << 20)'"
MANY = 'python3 -c \'import subprocess as s; [s.Popen(["sleep", "2"]) for _ in range(40)]\''


def install(command: str) -> Install:
    return Install(
        name="Packages",
        tool=Tool.SHELL,
        files=(),
        whole=False,
        command=f"mkdir -p /opt/made; {command} && echo good > /opt/made/r || echo broken >"
        " /opt/made/r; cat /opt/made/r",
        keep=("opt/made",),
    )


def layer_of(forge: Forge, step: Install, limits: Limits, *, team: int) -> Layer:
    language = PYTHON[PYTHON_DEFAULT]
    below = ensure_runtime(forge.config, forge.store, language, language.stack)
    workspace = forge.config.workspaces / f"test-{time.monotonic_ns()}"
    workspace.mkdir(mode=0o711, parents=True)
    try:
        with Confinement().session(team) as helper:
            context = BuildContext(
                build_id=9,
                app="app",
                team=team,
                limits=limits,
                workspace=workspace,
                budget=Budget(120, print),
                log=forge.log.append,
                helper=helper,
                config=forge.config,
                store=forge.store,
                containers=forge.containers,
                cache=StepCache(forge.config, forge.store),
                packages=PackageCaches(forge.config),
            )
            return StepRunner(context=context).layer(step, None, below)
    finally:
        remove_tree(workspace)


def result(forge: Forge, layer: Layer) -> str:
    found: Path = forge.store.unpacked(layer) / "opt/made/r"
    return found.read_text().strip()


@pytest.mark.parametrize(
    ("command", "few"),
    [
        (LARGE, replace(LIMITS, memory=Bytes(64 << 20))),
        (MANY, replace(LIMITS, processes=20)),
    ],
    ids=["memory", "processes"],
)
def test_a_layer_of_a_step_that_reached_a_limit_is_not_shared(
    forge: Forge, command: str, few: Limits
) -> None:
    step = install(command)
    assert result(forge, layer_of(forge, step, few, team=731)) == "broken"
    assert "Packages: only this team uses the layer again" in forge.said()
    forge.log.clear()
    assert result(forge, layer_of(forge, step, few, team=731)) == "broken"
    assert "Packages: cached" in forge.said()
    forge.log.clear()
    assert result(forge, layer_of(forge, step, LIMITS, team=732)) == "good"
    assert "Packages: cached" not in forge.said()
    forge.log.clear()
    assert result(forge, layer_of(forge, step, few, team=733)) == "good"
    assert "Packages: cached" in forge.said()
