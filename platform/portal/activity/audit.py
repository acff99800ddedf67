"""The audit writer: one sentence in the transaction of the change it tells of."""

from __future__ import annotations

from portal.accounts.models import Person, Team
from portal.activity.models import AuditEntry
from portal.apps.models import App


def record(actor: Person | None, text: str, *, team: Team | None = None, app: App | None = None) -> AuditEntry:
    """Write who did what; `text` continues the sentence "NAME …", as in "scaled web to 3". Without an actor it was Slipway itself."""
    return AuditEntry.objects.create(
        person=actor, team=app.team if app is not None else team, app_name=app.name if app is not None else "", text=text[:300]
    )
