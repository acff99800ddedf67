"""The lock that every change of an app holds."""

from __future__ import annotations

from portal.apps.models import App
from portal.errors import NotFound
from portal.quotas import decision


def lock_app(app: App) -> App:
    """Return the app's current row, locked until the transaction ends. The team's quota row is
    always locked first."""
    decision.lock(app.team)
    locked = App.objects.select_for_update().filter(pk=app.pk, deleted_at=None).first()
    if locked is None:
        raise NotFound(f"App {app.name} was deleted.")
    return locked
