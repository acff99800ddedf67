"""How much more a team may push: what is left of its disk, and whether this Slipway's has room."""

from __future__ import annotations

from portal.apps.models import App
from portal.builds.room import check_room
from portal.gitserver import repository
from portal.quotas import decision
from portal.registry import shelf


def bytes_left(app: App) -> int:
    """Return the bytes that the team's disk has left for code. QuotaExceeded, NoRoom: none."""
    check_room()
    return decision.code_left(app.team, repository.size_of_team(app.team), shelf.pending(app.team_id))
