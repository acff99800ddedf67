"""Permissions of the folders above containers: the containers' root users must reach them."""

from __future__ import annotations

from pathlib import Path

from runtime.errors import HostLacks


def make_traversable(folder: Path, *, ours: Path) -> None:
    """Make `folder` and its parents traversable for others.

    A container's root is an unprivileged user on the host, and the kernel resolves paths of its
    folders as this user. The modes of files do not change. Only `ours` and folders below are
    changed. Raises HostLacks if another folder is not traversable.
    """
    for place in (folder, *folder.parents):
        mode = place.stat().st_mode
        if mode & 0o001:
            continue
        if not place.is_relative_to(ours):
            what = f"Containers cannot pass through {place} to {folder}."
            raise HostLacks(
                what, hint=f"Run `chmod o+x {place}`, or set SLIPWAY_STATE to another folder."
            )
        place.chmod(mode & 0o7777 | 0o001)
