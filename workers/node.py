"""The engine of this process: made once, on first use, since most of what it needs is costly to import and cheap to keep."""

from __future__ import annotations

import os
from functools import cache

from runtime.config import from_environment
from runtime.engines.node import NodeEngine

_given: list[NodeEngine] = []


def engine() -> NodeEngine:
    """The node that this process runs on."""
    return _given[-1] if _given else _own()


def use(engine: NodeEngine | None) -> None:
    """Work with this engine instead of the environment's; None ends that. For tests, and for nodes within one process."""
    if engine is None:
        _given.clear()
    else:
        _given[:] = [engine]


@cache
def name() -> str:
    """What the node is called in rows and pages."""
    return os.uname().nodename


@cache
def _own() -> NodeEngine:
    return NodeEngine(from_environment())
