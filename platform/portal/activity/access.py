"""Read the audit log."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Q, QuerySet

from portal.accounts.access import teams_of
from portal.accounts.models import Person, Team
from portal.activity.models import AuditEntry
from portal.apps.models import App, FormerName


def audit_of_app(app: App) -> QuerySet[AuditEntry]:
    """Return the changes to an app under all its names, newest first.

    Entries of an earlier app with the same name are left out, and those of an earlier team.
    """
    former = FormerName.objects.filter(app=app).values("name")
    return AuditEntry.objects.filter(
        Q(app_name=app.name) | Q(app_name__in=former), team=app.team, at__gte=app.created_at
    ).select_related("person")


def audit_of_team(team: Team) -> QuerySet[AuditEntry]:
    """Return the changes in a team, newest first."""
    return AuditEntry.objects.filter(team=team).select_related("person")


def audit_for(person: Person) -> QuerySet[AuditEntry]:
    """Return all entries that the person may see: all for an admin, else those of their teams."""
    entries = AuditEntry.objects.select_related("person", "team")
    return entries if person.is_staff else entries.filter(team__in=teams_of(person))


def changes_of_instances(app: App, begin: datetime, end: datetime) -> QuerySet[AuditEntry]:
    """Return the scalings and restarts of an app in a time, newest first."""
    return audit_of_app(app).filter(
        Q(text__startswith="scaled ")
        | Q(text__startswith="autoscaled ")
        | Q(text="restarted the app"),
        at__range=(begin, end),
    )
