"""Use against quota as the lines of a page: words, numbers for the bars, and where a change would lead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from portal.accounts.models import Team
from portal.apps.models import App, ProcessFormation
from portal.apps.sizes import Size
from portal.quotas import amounts
from portal.quotas.access import quota_of, usage_of_team
from portal.quotas.decision import TeamUse
from portal.quotas.models import Quota

_NAMES = {"apps": "Apps", "instances": "Instances", "cpu": "CPU", "memory": "Memory", "disk": "Disk"}
_PRINT = {"cpu": amounts.cpu, "memory": amounts.size, "disk": amounts.size}


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaLine:
    """One limit. `after` is what a change under consideration would make of the use; None without one."""

    name: str
    used: int
    limit: int
    used_words: str
    limit_words: str
    after: int | None = None
    after_words: str = ""

    @property
    def label(self) -> str:
        """The bar in words."""
        change = f", {self.after_words} after this change" if self.after_words else ""
        return f"{self.name}: {self.used_words} of {self.limit_words}{change}"

    @property
    def too_much(self) -> bool:
        """Whether the change would be refused for this limit."""
        return self.after is not None and self.after > self.limit and self.after > self.used


def lines_of(team: Team) -> list[QuotaLine]:
    """What a team uses of each of its limits."""
    return lines(quota_of(team), usage_of_team(team))


def lines_after(app: App, sizes: Mapping[str, Size]) -> list[QuotaLine]:
    """The same, with what scaling the app so would make of it."""
    now = usage_of_team(app.team)
    sums = {"instances": now.instances, "cpu": now.cpu, "memory": now.memory, "disk": now.disk}
    for row in ProcessFormation.objects.filter(app=app, process__in=sizes):
        for size, sign in ((Size.of(row), -1), (sizes[row.process], 1)):
            sums["instances"] += sign * size.count
            for name in ("cpu", "memory", "disk"):
                sums[name] += sign * size.count * getattr(size, name)
    return [line for line in lines(quota_of(app.team), now, TeamUse(apps=now.apps, **sums)) if line.name != "Apps"]


def lines(quota: Quota, use: TeamUse, after: TeamUse | None = None) -> list[QuotaLine]:
    """One line a limit."""
    return [
        _line(
            name,
            getattr(use, name),
            getattr(quota, name),
            None if after is None or getattr(after, name) == getattr(use, name) else getattr(after, name),
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
