"""Lock files that come and go with one build, step, app or job. Those of the node itself are a fixed few, and stay."""

from __future__ import annotations

import re

from runtime import journal
from runtime.config import NodeConfig

PASSING = re.compile(r"(app|build|image-job|log|mount|published|pull|rollouts?|runs|stack|step|tend)-.+")


def remove_free_locks(config: NodeConfig) -> int:
    """Remove those that nobody holds, and return their number."""
    return journal.remove_free_locks(config.locks, PASSING)
