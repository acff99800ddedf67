"""Read the egress traffic of teams in this month, which the supervisor writes to Redis
(`workers/supervisor/traffic_meter.py`)."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import msgspec
import redis

from portal.accounts.models import Team
from portal.events import client
from portal.metrics.egress_totals import EgressTotals

log = logging.getLogger(__name__)


def egress_of(team: Team, *, now: datetime | None = None) -> EgressTotals | None:
    """Return this month's traffic, or None while Redis is not available."""
    month = (now or datetime.now(UTC)).strftime("%Y-%m")
    try:
        text = client().hget(f"slipway:egress:{month}", str(team.pk))
    except redis.RedisError as error:
        log.warning("Egress traffic of teams is not known, because Redis did not answer: %s", error)
        return None
    if text is None:
        return EgressTotals()
    return msgspec.json.decode(str(text), type=EgressTotals)
