"""The names of the layers of stacks and language runtimes.

It is a module of its own because the supervisor reads names and never builds a stack.
"""

from __future__ import annotations

from runtime import journal
from runtime.config import NodeConfig
from runtime.images.digest import Digest


def layer_names(config: NodeConfig) -> dict[Digest, str]:
    """Return the name of each layer of a stack or a runtime of this node, by diff ID."""
    notes = (journal.read_json(path) for path in sorted((config.cache / "stacks").glob("*.json")))
    return {Digest(note["diff_id"]): str(note["name"]) for note in notes if note}
