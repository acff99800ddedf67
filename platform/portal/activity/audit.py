"""Write the audit log: one sentence per change, in the transaction of the change."""

from __future__ import annotations

from portal.accounts.models import Person, Team
from portal.activity.models import AuditEntry
from portal.apps.models import App


def record(
    actor: Person | None, text: str, *, team: Team | None = None, app: App | None = None
) -> AuditEntry:
    """Record that the actor did something. `text` continues the sentence "NAME …", as in "scaled
    web to 3".

    Without an actor, Slipway itself did it.
    """
    return AuditEntry.objects.create(
        person=actor,
        team=app.team if app is not None else team,
        app_name=app.name if app is not None else "",
        text=text[:300],
    )
