"""Read quotas and their usage."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import BigIntegerField, Count, F, Q, Sum

from portal.accounts.models import Team
from portal.apps.models import App
from portal.apps.volumes import stored_bytes
from portal.quotas.decision import TeamUse, allocated, over, use_of
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
    """Return every team, with the largest memory allocation first. Needs five queries for any
    number of teams and apps."""
    stored = stored_bytes()
    apps = dict(App.objects.filter(deleted_at=None).values_list("team").annotate(Count("id")))
    sums = {
        team: TeamUse(
            apps=apps.get(team, 0),
            instances=instances,
            cpu=cpu,
            memory=memory,
            disk=disk + stored.get(team, 0),
        )
        for team, instances, cpu, memory, disk in allocated()
        .order_by()
        .values("app__team")
        .annotate(
            instances=Sum("count"),
            **{
                f"all_{name}": Sum(F("count") * F(name), output_field=BigIntegerField())
                for name in ("cpu", "memory", "disk")
            },
        )
        .values_list("app__team", "instances", "all_cpu", "all_memory", "all_disk")
    }
    lines = [
        TeamLine(
            team=team,
            quota=team.quota,
            use=sums.get(team.pk, TeamUse(apps=apps.get(team.pk, 0), disk=stored.get(team.pk, 0))),
            people=team.people_count,
        )
        for team in Team.objects.select_related("quota").annotate(
            people_count=Count("memberships", filter=Q(memberships__person__is_active=True))
        )
    ]
    return sorted(lines, key=lambda line: (-line.use.memory, line.team.name))
