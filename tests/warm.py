"""Stacks and language runtimes for tests: built once on a machine, and handed to each test's own state without a copy.

They take a minute to make and are the same for all, so they live outside of any run, kept by the content of their definitions.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from runtime import journal
from runtime.config import NodeConfig
from runtime.images.store import Store
from runtime.stacks.builder import ensure_platform_images, ensure_runtime
from runtime.stacks.definition import NODE_DEFAULT, node, stack_of
from runtime.stacks.stack import Runtime

WARM = Path("/var/cache/slipway/tests")


def seed(config: NodeConfig) -> Store:
    """A store in `config.state` that has already what a platform begins with, and Node.js."""
    warm = _warm(config)
    config.state.mkdir(parents=True, exist_ok=True)
    with journal.lock(WARM / "lock"):  # nothing is half-made while it is copied
        ensure_platform_images(warm)
        ensure_runtime(warm, Store(warm), node(NODE_DEFAULT), stack_of(None))
        _hand_over(config)
    return Store(config)


def add(config: NodeConfig, runtime: Runtime) -> None:
    """One more language, and the stack it stands on, for a state that was seeded."""
    warm = _warm(config)
    with journal.lock(WARM / "lock"):
        ensure_runtime(warm, Store(warm), runtime, stack_of(runtime))
        _hand_over(config)


def _warm(config: NodeConfig) -> NodeConfig:
    return NodeConfig(name=config.name, state=WARM, run=config.run)


def _hand_over(config: NodeConfig) -> None:
    """Blobs, layers and notes that `config.state` has not, and the index where there is none."""
    linked = WARM.stat().st_dev == config.state.stat().st_dev
    for folder in ("images", "images/blobs/sha256", "layers", "cache", "cache/stacks"):
        target = config.state / folder
        target.mkdir(parents=True, exist_ok=True)
        there = {path.name for path in target.iterdir()}
        if fresh := [path for path in (WARM / folder).iterdir() if path.name not in there]:
            subprocess.run(["cp", "-al" if linked else "-a", *fresh, target], check=True)
