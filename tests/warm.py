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
from runtime.stacks.definition import DEBIAN_13, NODE_DEFAULT, node

WARM = Path("/var/cache/slipway/tests")


def seed(config: NodeConfig) -> Store:
    """A store in `config.state` that has every stack and runtime already."""
    warm = NodeConfig(name=config.name, state=WARM, run=config.run)
    config.state.mkdir(parents=True, exist_ok=True)
    with journal.lock(WARM / "lock"):  # nothing is half-made while it is copied
        ensure_platform_images(warm)
        ensure_runtime(warm, Store(warm), node(NODE_DEFAULT), DEBIAN_13)
        linked = WARM.stat().st_dev == config.state.stat().st_dev
        for folder in ("images", "layers", "cache"):
            subprocess.run(["cp", "-al" if linked else "-a", WARM / folder, config.state], check=True)
    return Store(config)
