"""What an image's configuration tells of how its layers came to be: an entry a layer, and for a Dockerfile an entry an instruction.

It holds no time and no machine, so the same source on the same base still has the same digest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from runtime.images.digest import Digest
from runtime.images.manifest import ImageConfig, Layer, Step

_LONGEST = 2000  # characters of one entry; a heredoc may be a megabyte


def with_step(config: ImageConfig, created_by: str, *, empty: bool = False) -> ImageConfig:
    """The configuration after one step more."""
    text = " ".join(created_by.split())
    text = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
    return replace(config, history=(*config.history, Step(created_by=text, empty=empty)))


def complete(config: ImageConfig, layers: Sequence[Layer], names: Mapping[Digest, str]) -> ImageConfig:
    """With a history that tells of exactly these layers, bottom first: its own where it does, else their names by diff ID.

    One that tells of more or fewer is of no use to anyone who builds on it: nobody could say any more which layer a later entry is of.
    """
    if sum(not step.empty for step in config.history) == len(layers):
        return config
    return replace(config, history=tuple(Step(created_by=names.get(layer.diff_id, "")) for layer in layers))
