"""The host's user ids of a team's containers and helpers. Pure."""

from __future__ import annotations

FIRST_ID = 1_000_000  # lower ids belong to users and daemons of the host
IDS_PER_TEAM = 65_536


def first_id_of(team: int) -> int:
    """Return the host id of a team's root user."""
    return FIRST_ID + team * IDS_PER_TEAM
