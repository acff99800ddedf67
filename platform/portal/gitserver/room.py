"""Compute how many bytes a team may still push: the rest of its disk quota, if the platform's disk
has space."""

from __future__ import annotations

from portal.apps.models import App
from portal.builds.room import check_room
from portal.gitserver import repository
from portal.quotas import decision
from portal.registry import shelf


def bytes_left(app: App) -> int:
    """Return the bytes of disk that the team has left for code. Raise QuotaExceeded or NoRoom if
    there are none."""
    check_room()
    return decision.code_left(app.team, repository.size_of_team(app.team), shelf.pending(app.team_id))
