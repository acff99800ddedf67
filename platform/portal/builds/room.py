"""Whether the disk has room for one build more. What runs is never touched by the answer."""

from __future__ import annotations

import os

from django.conf import settings

from portal.accounts.access import admin_names
from portal.errors import NoRoom


def check_room() -> None:
    """NoRoom: the disk that holds the state is in use to settings.DISK_FULL percent or more, as df(1) counts."""
    status = os.statvfs(settings.STATE)
    used = status.f_blocks - status.f_bfree
    percent = 100 * used / max(used + status.f_bavail, 1)
    if percent >= settings.DISK_FULL:
        raise NoRoom(
            f"The disk of this Slipway is {percent:.0f} % full, so nothing new is built. Apps that run are not affected.",
            hint=f"An admin can make room, and then it goes on: {admin_names()}.",
        )
