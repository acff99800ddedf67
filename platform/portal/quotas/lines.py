"""Quota usage as lines of a page: words, numbers for the bars, and the effect of a change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from portal.accounts.models import Team
from portal.apps.models import App
from portal.apps.sizes import Size
from portal.quotas import amounts
from portal.quotas.access import quota_of, usage_of_team
from portal.quotas.decision import TeamUse, allocated
from portal.quotas.models import Quota

_NAMES = {
    "apps": "Apps",
    "instances": "Instances",
    "cpu": "CPU",
    "memory": "Memory",
    "disk": "Disk",
}
_PRINT = {"cpu": amounts.cpu, "memory": amounts.size, "disk": amounts.size}


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaLine:
    """A limit and its use. `after` is the use after a planned change, or None without a change."""

    name: str
    used: int
    limit: int
    used_words: str
    limit_words: str
    after: int | None = None
    after_words: str = ""

    @property
    def label(self) -> str:
        """Describe the bar in words."""
        change = f", {self.after_words} after this change" if self.after_words else ""
        return f"{self.name}: {self.used_words} of {self.limit_words}{change}"

    @property
    def too_much(self) -> bool:
        """Return True if the change would be refused because of this limit."""
        return self.after is not None and self.after > self.limit and self.after > self.used


def lines_of(team: Team) -> list[QuotaLine]:
    """Return the team's use of each limit."""
    return lines(quota_of(team), usage_of_team(team))


def lines_after(app: App, sizes: Mapping[str, Size]) -> list[QuotaLine]:
    """Return the team's use of each limit, now and after scaling the app."""
    now = usage_of_team(app.team)
    sums = {"instances": now.instances, "cpu": now.cpu, "memory": now.memory, "disk": now.disk}
    before = {row.process: Size.of(row) for row in allocated().filter(app=app, process__in=sizes)}
    for changed, sign in ((before, -1), (sizes, 1)):
        for size in changed.values():
            sums["instances"] += sign * size.count
            for name in ("cpu", "memory", "disk"):
                sums[name] += sign * size.count * getattr(size, name)
    return [
        line
        for line in lines(quota_of(app.team), now, TeamUse(apps=now.apps, **sums))
        if line.name != "Apps"
    ]


def lines(quota: Quota, use: TeamUse, after: TeamUse | None = None) -> list[QuotaLine]:
    """Return one line per limit."""
    return [
        _line(
            name,
            getattr(use, name),
            getattr(quota, name),
            (
                None
                if after is None or getattr(after, name) == getattr(use, name)
                else getattr(after, name)
            ),
        )
        for name in _NAMES
    ]


def _line(name: str, used: int, limit: int, after: int | None) -> QuotaLine:
    words = _PRINT.get(name, amounts.number)
    return QuotaLine(
        name=_NAMES[name],
        used=used,
        limit=limit,
        used_words=words(used),
        limit_words=words(limit),
        after=after,
        after_words="" if after is None else words(after),
    )
