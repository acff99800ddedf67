"""The engine of this process: made once, on first use, since most of what it needs is costly to import and cheap to keep."""

from __future__ import annotations

import os
from functools import cache

from runtime.config import NodeConfig, from_environment
from runtime.engines.node import NodeEngine


@cache
def config() -> NodeConfig:
    """The node's settings."""
    return from_environment()


@cache
def engine() -> NodeEngine:
    """The node this process runs on."""
    return NodeEngine(config())


@cache
def name() -> str:
    """What the node is called in rows and pages."""
    return os.uname().nodename
