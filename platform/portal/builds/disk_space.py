"""Check that the disk has space for another build. Running apps are not affected."""

from __future__ import annotations

import os

from django.conf import settings

from portal.accounts.access import admin_names
from portal.errors import DiskFull


def check_room() -> None:
    """Raise DiskFull if the disk of the state folder is settings.DISK_FULL percent full or more,
    counted like df(1)."""
    status = os.statvfs(settings.STATE)
    used = status.f_blocks - status.f_bfree
    percent = 100 * used / max(used + status.f_bavail, 1)
    if percent >= settings.DISK_FULL:
        raise DiskFull(
            f"The disk of this Slipway is {percent:.0f} % full, so no new builds start. Running"
            " apps are not affected.",
            hint=f"Ask an admin to free disk space: {admin_names()}.",
        )
