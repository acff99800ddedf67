"""The labels of an image that only the platform may set. Their names begin with `slipway.`.

Instances and upgrades read them, so the text of a team must never be in one.
"""

from __future__ import annotations

from dataclasses import replace

from runtime.images.manifest import ImageConfig

PREFIX = "slipway."


def is_platform_label(name: str) -> bool:
    """Return whether only the platform may set the label."""
    return name.startswith(PREFIX)


def without_platform_labels(config: ImageConfig) -> ImageConfig:
    """Return the configuration of an image from elsewhere without the labels that only the platform
    sets.
    """
    kept = {name: text for name, text in config.labels.items() if not is_platform_label(name)}
    return replace(config, labels=kept)
