"""Read quotas and their usage."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Count, Q

from portal.accounts.models import Team
from portal.apps.models import App
from portal.apps.sizes import Size
from portal.quotas.decision import TeamUse, allocated, over, total, use_of
from portal.quotas.models import NetworkPolicy, Quota


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamLine:
    """A team on the admin page."""

    team: Team
    quota: Quota
    use: TeamUse
    people: int

    @property
    def over(self) -> list[str]:
        """Return the exceeded limits in words. Empty if there are none."""
        return over(self.quota, self.use)


def quota_of(team: Team) -> Quota:
    """Return the limits of the team."""
    return Quota.objects.get(team=team)


def network_policy_of(team: Team) -> NetworkPolicy:
    """Return the network policy of the team, or the default policy if none was set."""
    return NetworkPolicy.objects.filter(team=team).first() or NetworkPolicy(team=team)


def usage_of_team(team: Team) -> TeamUse:
    """Return the resources that the team has allocated."""
    return use_of(team)


def team_uses() -> list[TeamLine]:
    """Return every team, with the largest memory allocation first. Needs four queries for any
    number of teams."""
    sizes: dict[int, dict[tuple[int, str], Size]] = {}
    for row in allocated().select_related("app"):
        sizes.setdefault(row.app.team_id, {})[row.app_id, row.process] = Size.of(row)
    apps = dict(App.objects.filter(deleted_at=None).values_list("team").annotate(Count("id")))
    lines = [
        TeamLine(
            team=team,
            quota=team.quota,
            use=total(apps.get(team.pk, 0), sizes.get(team.pk, {})),
            people=team.people_count,
        )
        for team in Team.objects.select_related("quota").annotate(
            people_count=Count("memberships", filter=Q(memberships__person__is_active=True))
        )
    ]
    return sorted(lines, key=lambda line: (-line.use.memory, line.team.name))
