"""The label of an image that names which of its lowest layers belong to a stack and its languages.

An upgrade may replace these layers.
Only the platform sets it: it is removed from images from elsewhere and from a Dockerfile's LABEL
(runtime.images.platform_labels). Images of earlier releases may still have another text in it, so
an upgrade compares the layers with the records of this node.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

LABEL = "slipway.foundation"
_LONGEST = 16_384  # characters
_MOST_RUNTIMES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Foundation:
    """The lowest `layers` layers of an image."""

    stack: str
    runtimes: tuple[str, ...]  # names, bottom first
    layers: int

    def label(self) -> dict[str, str]:
        return {LABEL: json.dumps(asdict(self), sort_keys=True)}


def foundation_of(labels: Mapping[str, str]) -> Foundation | None:
    """Return the foundation of an image; None if it has no stack, or the label does not have the
    form that Slipway writes.
    """
    text = labels.get(LABEL, "")
    if len(text) > _LONGEST:
        return None
    try:
        match json.loads(text):
            case {"stack": str(stack), "runtimes": [*runtimes], "layers": int(layers)}:
                names = tuple(name for name in runtimes if isinstance(name, str))
            case _:
                return None
    except (ValueError, RecursionError):
        return None
    if len(names) != len(runtimes) or not 0 < layers <= 1 + len(names) <= 1 + _MOST_RUNTIMES:
        return None
    return Foundation(stack=stack, runtimes=names, layers=layers)
