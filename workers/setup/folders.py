"""The system user, and the state and run folders with their owners.

The owners allow the unprivileged portal to write what it needs and nothing else.
"""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Mapping
from pathlib import Path

from runtime.config import NodeConfig
from runtime.errors import HostLacks
from runtime.process import run

MARK = ".slipway"  # in the state folder: `purge` deletes no folder without it

# The mode, and True if the portal's user owns the folder. Its group always owns it.
ROOTS, PORTALS, SHARED = (0o755, False), (0o750, True), (0o750, False)
FOLDERS = {
    "db": PORTALS,
    "git": PORTALS,
    "sources": PORTALS,
    "sources/incoming": PORTALS,
    "redis": PORTALS,
    "registry": SHARED,
    "registry/uploads": PORTALS,
    "registry/received": PORTALS,
    "registry/served": SHARED,
    "secrets": SHARED,
    "downloads": SHARED,
    "logs": ROOTS,
    "logs/apps": SHARED,
    "logs/builds": SHARED,
    "logs/platform": SHARED,
}


def ensure_user(name: str, environment: Mapping[str, str]) -> pwd.struct_passwd:
    """Return the system user of portal and router. Create it if it is missing."""
    try:
        return pwd.getpwnam(name)
    except KeyError:
        run(
            [
                "useradd",
                "--system",
                "--user-group",
                "--no-create-home",
                "--home-dir",
                "/nonexistent",
                "--shell",
                "/usr/sbin/nologin",
                name,
            ],
            env=environment,
        )
        return pwd.getpwnam(name)


def ensure_folders(config: NodeConfig, account: pwd.struct_passwd) -> None:
    """Create the folders, and correct their owners and modes.

    Everybody may pass through the state folder itself, because containers do.
    """
    config.state.mkdir(parents=True, exist_ok=True)
    _set_owner(config.state, 0o755, 0, 0)
    (config.state / MARK).touch()
    for name, (mode, portals) in FOLDERS.items():
        folder = config.state / name
        folder.mkdir(exist_ok=True)
        _set_owner(folder, mode, account.pw_uid if portals else 0, account.pw_gid)
    database = config.state / "db" / "slipway.sqlite3"
    # An empty file is a valid database. SQLite gives its journal files the same owner, even when
    # root opens it.
    database.touch()
    _set_owner(database, 0o640, account.pw_uid, account.pw_gid)
    config.run.mkdir(parents=True, exist_ok=True)
    # The portal creates its socket here. The folder is sticky, so it cannot remove other files.
    _set_owner(config.run, 0o1775, 0, account.pw_gid)
    (config.run / "code").mkdir(exist_ok=True)


def delete_state(config: NodeConfig) -> None:
    """Delete the state folder and the run folder permanently.

    Raises HostLacks if Slipway did not create the folder, or if something is mounted in it.
    """
    for folder in (config.state, config.run):
        if mounted := [point for point in _mount_points() if point.is_relative_to(folder)]:
            raise HostLacks(
                f"Something is still mounted at {mounted[0]}.", hint="Run `make down` first."
            )
    if config.state.exists() and not (config.state / MARK).exists():
        raise HostLacks(
            f"{config.state} does not contain {MARK}, so Slipway did not create it.",
            hint="Delete it by hand if you are sure.",
        )
    if config.state.exists():
        shutil.rmtree(config.state)
    shutil.rmtree(config.run, ignore_errors=True)


def _set_owner(folder: Path, mode: int, uid: int, gid: int) -> None:
    os.chown(folder, uid, gid)
    folder.chmod(mode)


def _mount_points() -> list[Path]:
    return [
        Path(line.split()[4].replace("\\040", " "))
        for line in Path("/proc/self/mountinfo").read_text().splitlines()
    ]
