"""The traffic of a team in a month, as the supervisor writes it to Redis. The supervisor imports
this module, so it has no models."""

from __future__ import annotations

import msgspec


class EgressTotals(msgspec.Struct, frozen=True, array_like=True):
    """Bytes in a month (UTC). Responses to requests are not included, because the router sends
    them. Stored as `[sent, received]`."""

    sent: int = 0
    received: int = 0
