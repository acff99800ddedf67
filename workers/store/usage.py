"""The resources that an app uses, as one value."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class AppUsage:
    """The total usage of one app's instances, in millicores and bytes.

    The limit is the sum of their limits.
    """

    cpu: int = 0
    memory: int = 0
    memory_limit: int = 0
