"""Format sizes, times and counts for a build log."""

from __future__ import annotations

import time
from collections.abc import Iterable

from runtime.contract.quantities import Bytes
from runtime.images.manifest import Layer


def sizes(layers: Iterable[Layer]) -> str:
    return str(Bytes(sum(layer.size for layer in layers)))


def seconds(since: float) -> str:
    """Return the time since `since`, a value of time.monotonic()."""
    return f"{time.monotonic() - since:.1f} s"


def count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
