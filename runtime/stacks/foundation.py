"""Which of an image's lowest layers are a stack's and its languages', said in a label of the image: what an upgrade may exchange.

Whoever builds on such an image inherits the label with the layers, so it stays true.
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
    """None: the image stands on no stack, or its label is none of ours."""
    try:
        told = json.loads(labels.get(LABEL, ""))
        found = Foundation(stack=str(told["stack"]), runtimes=tuple(map(str, told["runtimes"])), layers=int(told["layers"]))
    except (ValueError, KeyError, TypeError):
        return None
    return found if found.layers > 0 else None
