"""What a team's apps have sent to the outside this month, as its node's supervisor left it in Redis (`workers/metering.py`). Read only."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from datetime import UTC, datetime

import redis

from portal.accounts.models import Team
from portal.activity.events import client

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Egress:
    """Bytes of a month (UTC). Answers to requests, which the router sends, are not among them."""

    sent: int = 0
    received: int = 0


def egress_of(team: Team, *, now: datetime | None = None) -> Egress | None:
    """Return this month's; None while Redis is away."""
    month = (now or datetime.now(UTC)).strftime("%Y-%m")
    try:
        text = client().hget(f"slipway:egress:{month}", str(team.pk))
    except redis.RedisError as error:
        log.warning("What teams send outside is not known, Redis did not answer: %s", error)
        return None
    if text is None:
        return Egress()
    sent, received = json.loads(str(text))
    return Egress(sent=sent, received=received)
