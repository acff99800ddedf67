"""The label of an image that names which of its lowest layers belong to a stack and its languages.

An upgrade may replace these layers.
An image built on such an image inherits the label with the layers, so it stays true.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

LABEL = "slipway.foundation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Foundation:
    """The lowest `layers` layers of an image."""

    stack: str
    runtimes: tuple[str, ...]  # names, bottom first
    layers: int

    def label(self) -> dict[str, str]:
        return {LABEL: json.dumps(asdict(self), sort_keys=True)}


def foundation_of(labels: Mapping[str, str]) -> Foundation | None:
    """Return the foundation of an image; None if it has no stack, or Slipway did not write its
    label.
    """
    try:
        value = json.loads(labels.get(LABEL, ""))
        found = Foundation(
            stack=str(value["stack"]),
            runtimes=tuple(map(str, value["runtimes"])),
            layers=int(value["layers"]),
        )
    except (ValueError, KeyError, TypeError):
        return None
    return found if found.layers > 0 else None
