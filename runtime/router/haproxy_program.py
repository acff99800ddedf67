"""HAProxy's program on this machine: a check of its files, and the user of its workers."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path

from runtime import process
from runtime.config import NodeConfig
from runtime.errors import RouterRefused
from runtime.router import haproxy
from runtime.router.config.render import Identity

_CHECK_WAIT = 60  # seconds; tens of thousands of slots take about two


def accept_files(config: NodeConfig, files: list[Path]) -> None:
    """Validate HAProxy's files without starting it. Raise RouterRefused with HAProxy's alerts."""
    checked = process.run(haproxy.check_command(config, files), timeout=_CHECK_WAIT, check=False)
    if checked.returncode != 0:
        said = "; ".join(
            line.strip()
            for line in checked.stderr.decode(errors="replace").splitlines()
            if "[ALERT]" in line
        )
        raise RouterRefused(
            f"HAProxy rejects its new configuration: {said}",
            hint="The running HAProxy continues with the old one.",
        )


def worker_identity(user: str) -> Identity | None:
    """Return the user of HAProxy's workers: the configured user, else `nobody`.

    Return None if this process does not run as root.
    """
    if os.geteuid() != 0:
        return None
    for name in (user, "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Identity(user=name, group=grp.getgrgid(entry.pw_gid).gr_name)
    return None
