"""The usage of one instance. The supervisor imports this module, so it has no models."""

from __future__ import annotations

import msgspec


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """The resources that one instance used in the last two seconds, from the node's sampler."""

    cpu_millicores: int
    memory_bytes: int
    memory_limit: int
    processes: int
    disk_bytes: int
    at: float  # Unix time
