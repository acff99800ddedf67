"""The migration of older unpacked layers: opaque folders get `user.overlay.opaque`."""

from __future__ import annotations

from pathlib import Path

from runtime import journal
from runtime.config import NodeConfig
from runtime.trees.copying import OPAQUE
from runtime.trees.folder import Folder
from runtime.trees.walk import walk

_EARLIER = "trusted.overlay.opaque"  # only root may read it, so this does not run in a helper


def renew_marks(config: NodeConfig) -> int:
    """Mark the opaque folders of all unpacked layers, and return their number.

    Runs once per state folder.
    """
    done = config.layers / ".marks"
    if done.exists() or not config.layers.is_dir():
        return 0
    count = 0
    for path in sorted(config.layers.iterdir()):
        if path.is_dir() and path.name != "ingest":
            count += _renew(path)
    journal.write_atomic(done, b"user.overlay\n", 0o644)
    return count


def _renew(layer: Path) -> int:
    count = 0
    with Folder.at(layer) as top:
        for found in walk(top):
            if found.is_folder and found.folder.attributes(found.name).get(_EARLIER) == b"y":
                found.folder.set_attribute(found.name, OPAQUE, b"y")
                found.folder.remove_attribute(found.name, _EARLIER)
                count += 1
    return count
