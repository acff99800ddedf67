"""When a crontab line is due next. Pure but for the time zone database."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim


def next_after(schedule: str, timezone: str, moment: datetime) -> datetime:
    """The first tick later than `moment`, in UTC. Hours that a change of clocks skips or repeats are as Debian's cron has them."""
    return next(CronSim(schedule, moment.astimezone(ZoneInfo(timezone)))).astimezone(UTC)
