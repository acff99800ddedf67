"""Cache key of a Dockerfile step: equal keys mean equal layers.

It covers the team, the lower layers, the instruction, the files that it reads, and build arguments.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from runtime.images.digest import Digest, chain_id
from runtime.images.manifest import Layer

_REVISION = 2  # increased when steps run differently, so that old layers are not used for new ones


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The properties of a step that the cache records."""

    text: str

    @property
    def name(self) -> str:
        return self.text.partition(" ")[0]

    def reads(self) -> str:
        return self.text[:200]


def chain(layers: Iterable[Layer]) -> str:
    ids = [layer.diff_id for layer in layers]
    return chain_id(ids) if ids else "scratch"


def step_key(what: str, parent: str, team: int, inputs: Mapping[str, object]) -> str:
    """Return 64 hex digits.

    No other team finds the layer: the result of a step also depends on the limits and the network
    policy of its team.
    """
    document = {
        "dockerfile": _REVISION,
        "what": what,
        "parent": parent,
        "team": team,
        "inputs": dict(inputs),
    }
    return hashlib.sha256(
        json.dumps(document, sort_keys=True).encode("utf-8", "surrogatepass")
    ).hexdigest()


EMPTY = Digest.of(bytes(1024))  # the tar of an empty layer
