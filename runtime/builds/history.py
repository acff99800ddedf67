"""History of the layers in an image's configuration: an entry for each layer, or for each
Dockerfile instruction.

It holds no time and no machine, so the same source on the same base still has the same digest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from runtime.images.digest import Digest
from runtime.images.manifest import HistoryStep, ImageConfig, Layer

_LONGEST = 2000  # characters of one entry; a heredoc may be a megabyte


def with_step(config: ImageConfig, created_by: str, *, empty: bool = False) -> ImageConfig:
    """Return the configuration with one more step."""
    text = " ".join(created_by.split())
    text = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
    return replace(config, history=(*config.history, HistoryStep(created_by=text, empty=empty)))


def complete(
    config: ImageConfig, layers: Sequence[Layer], names: Mapping[Digest, str]
) -> ImageConfig:
    """Return the configuration with a history of exactly these layers, bottom first.

    Its own history is kept if it has one entry for each layer. Otherwise the entries are the
    layers' names by diff ID.
    With a wrong number of entries, an image built on it could not assign later entries to layers.
    """
    if sum(not step.empty for step in config.history) == len(layers):
        return config
    return replace(
        config,
        history=tuple(HistoryStep(created_by=names.get(layer.diff_id, "")) for layer in layers),
    )
