"""The engine of this process. It is created once, on first use, because its imports are slow."""

from __future__ import annotations

import os
from functools import cache

from runtime.config import from_environment
from runtime.engines.node import NodeEngine

_chosen: list[NodeEngine] = []


def engine() -> NodeEngine:
    """Return the engine of the node that this process runs on."""
    return _chosen[-1] if _chosen else _create_engine()


def use(engine: NodeEngine | None) -> None:
    """Use this engine instead of one from the environment; None restores the default.

    For tests, and for several nodes in one process.
    """
    if engine is None:
        _chosen.clear()
    else:
        _chosen[:] = [engine]


@cache
def name() -> str:
    """Return the node's name in rows and pages."""
    return os.uname().nodename


@cache
def _create_engine() -> NodeEngine:
    return NodeEngine(from_environment())
