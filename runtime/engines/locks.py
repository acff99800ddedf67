"""The temporary lock files, of one build, step, app or job each.

The node's own few locks remain.
"""

from __future__ import annotations

import re

from runtime import journal
from runtime.config import NodeConfig

PASSING = re.compile(
    r"(app|build|gzip|image-job|log|mount|published|pull|rollouts?|runs|stack|step|tend)-.+"
)


def remove_free_locks(config: NodeConfig) -> int:
    """Remove temporary lock files that no process holds, and return their number."""
    return journal.remove_free_locks(config.locks, PASSING)
