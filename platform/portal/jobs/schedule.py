"""Compute the next time of a crontab line. Pure, except for the time zone database."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim


def next_after(schedule: str, timezone: str, moment: datetime) -> datetime:
    """Return the first scheduled time after `moment`, in UTC. Hours that a clock change skips or
    repeats are handled as by Debian's cron."""
    return next(CronSim(schedule, moment.astimezone(ZoneInfo(timezone)))).astimezone(UTC)
