"""Reading quotas and what is used of them."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Count, Q

from portal.accounts.models import Team
from portal.apps.models import App, ProcessFormation
from portal.apps.sizes import Size
from portal.quotas.decision import TeamUse, over, total, use_of
from portal.quotas.models import NetworkPolicy, Quota


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamLine:
    """One team on the admin's page."""

    team: Team
    quota: Quota
    use: TeamUse
    people: int

    @property
    def over(self) -> list[str]:
        """Limits that are passed, in words; empty when all is well."""
        return over(self.quota, self.use)


def quota_of(team: Team) -> Quota:
    """The team's limits."""
    return Quota.objects.get(team=team)


def network_policy_of(team: Team) -> NetworkPolicy:
    """What the team's containers may reach; the defaults where nobody has set it."""
    return NetworkPolicy.objects.filter(team=team).first() or NetworkPolicy(team=team)


def usage_of_team(team: Team) -> TeamUse:
    """What the team has booked."""
    return use_of(team)


def team_uses() -> list[TeamLine]:
    """Every team, the one that books most memory first. Four queries, however many teams."""
    sizes: dict[int, dict[tuple[int, str], Size]] = {}
    for row in ProcessFormation.objects.filter(app__deleted_at=None).select_related("app"):
        sizes.setdefault(row.app.team_id, {})[row.app_id, row.process] = Size.of(row)
    apps = dict(App.objects.filter(deleted_at=None).values_list("team").annotate(Count("id")))
    lines = [
        TeamLine(team=team, quota=team.quota, use=total(apps.get(team.pk, 0), sizes.get(team.pk, {})), people=team.people_count)
        for team in Team.objects.select_related("quota").annotate(
            people_count=Count("memberships", filter=Q(memberships__person__is_active=True))
        )
    ]
    return sorted(lines, key=lambda line: (-line.use.memory, line.team.name))
