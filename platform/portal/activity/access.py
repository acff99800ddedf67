"""Reading the audit log."""

from __future__ import annotations

from django.db.models import QuerySet

from portal.accounts.access import teams_of
from portal.accounts.models import Person, Team
from portal.activity.models import AuditEntry
from portal.apps.models import App


def audit_of_app(app: App) -> QuerySet[AuditEntry]:
    """What was done to an app, newest first; nothing of an earlier app that had the name."""
    return AuditEntry.objects.filter(team=app.team, app_name=app.name, at__gte=app.created_at).select_related("person")


def audit_of_team(team: Team) -> QuerySet[AuditEntry]:
    """What was done in a team, newest first."""
    return AuditEntry.objects.filter(team=team).select_related("person")


def audit_for(person: Person) -> QuerySet[AuditEntry]:
    """All an admin may see is everything; all anyone else may see is their teams'."""
    entries = AuditEntry.objects.select_related("person", "team")
    return entries if person.is_staff else entries.filter(team__in=teams_of(person))
