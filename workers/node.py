"""The engine of this process. It is created once, on first use, because its imports are slow."""

from __future__ import annotations

import os
from functools import cache

from runtime.config import from_environment
from runtime.engines.node import NodeEngine

_given: list[NodeEngine] = []


def engine() -> NodeEngine:
    """Return the engine of the node that this process runs on."""
    return _given[-1] if _given else _own()


def use(engine: NodeEngine | None) -> None:
    """Use this engine instead of one from the environment; None restores the default.

    For tests, and for several nodes in one process.
    """
    if engine is None:
        _given.clear()
    else:
        _given[:] = [engine]


@cache
def name() -> str:
    """Return the node's name in rows and pages."""
    return os.uname().nodename


@cache
def _own() -> NodeEngine:
    return NodeEngine(from_environment())
