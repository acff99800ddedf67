"""Layers that an earlier release unpacked: their opaque folders get the mark that overlays read now, `user.overlay.opaque`."""

from __future__ import annotations

from pathlib import Path

from runtime import journal
from runtime.config import NodeConfig
from runtime.trees.copying import OPAQUE
from runtime.trees.folder import Folder
from runtime.trees.walk import walk

_EARLIER = "trusted.overlay.opaque"  # which root alone may read, so this runs in no helper


def renew_marks(config: NodeConfig) -> int:
    """Mark each opaque folder of each unpacked layer once more; how many that were. Done once for a state folder."""
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
