"""Compute how many bytes a team may still push: the rest of its disk quota, if the platform's disk
has space."""

from __future__ import annotations

from portal import repositories
from portal.apps.models import App
from portal.builds.disk_space import check_room
from portal.quotas import decision
from portal.registry import blob_store


def bytes_left(app: App) -> int:
    """Return the bytes of disk that the team has left for code. Raise QuotaExceeded or DiskFull if
    there are none."""
    check_room()
    return decision.code_left(
        app.team, repositories.size_of_team(app.team), blob_store.pending(app.team_id)
    )
