"""User namespaces, pinned to files.

Each team has one for its containers, and one that only shifts the ids of mounts.

A pin is a bind mount of the namespace's file (namespaces(7)). It outlives the platform's
processes, and ends with the reboot.

The owner of the containers' namespace is the team's first id, so that the kernel counts their
resources for the team (see kernel_accounts). Root owns the other one: no process is ever in it.
In earlier releases root owned all of them, and pins had other names. Those pins stay until
`make down` or the reboot. Only instances that were started before the upgrade use them.
"""

from __future__ import annotations

import fcntl
import struct
import time
from pathlib import Path

from runtime import journal
from runtime.containers import kernel_accounts
from runtime.errors import LaunchFailed
from runtime.kernel import Kernel
from runtime.process import NOWHERE, PIPE, Running, spawn
from runtime.team_ids import IDS_PER_TEAM

_TIMEOUT = 10.0  # seconds
_OWNER_UID = 0xB704


class UserNamespaces:
    """The pinned user namespaces below one folder."""

    def __init__(self, folder: Path, kernel: Kernel) -> None:
        self._folder, self._kernel = folder, kernel

    def of_team(self, team: int, first_id: int) -> Path:
        """Return the namespace of a team's containers. Create it if it does not exist.

        Root inside is the host's `first_id`; the team's other ids follow.
        """
        return self._ensure(f"{team}-own", f"0 {first_id} {IDS_PER_TEAM}", owner=first_id)

    def of_written(self, team: int, first_id: int) -> Path:
        """Return the namespace with the reverse mapping. Create it if it does not exist.

        Through it, files with a team's host ids have the ids that they have inside.
        """
        return self._ensure(f"{team}-written", f"{first_id} 0 {IDS_PER_TEAM}")

    def remove_all(self) -> None:
        """Unpin all namespaces. A namespace in use remains until its last process ends."""
        for pin in self._kernel.mounts_below(self._folder):
            self._kernel.unmount(pin, lazily=True)

    def _ensure(self, name: str, ids: str, *, owner: int | None = None) -> Path:
        pin = self._folder / name
        if not _is_pinned(pin):
            with journal.lock(self._folder / f".{name}.lock"):
                if not _is_pinned(pin):
                    self._pin(pin, ids, owner)
        return pin

    def _pin(self, pin: Path, ids: str, owner: int | None) -> None:
        pin.touch(mode=0o600)
        # `cat` ends with its standard input.
        holder = spawn([*_as_user(owner), "unshare", "--user", "cat"], stdin=PIPE, stdout=NOWHERE)
        try:
            namespace = Path(f"/proc/{holder.pid}/ns/user")
            _await_own(namespace, holder)
            for kind in ("uid_map", "gid_map"):
                Path(f"/proc/{holder.pid}/{kind}").write_text(ids)
            if owner is not None:
                kernel_accounts.apply_settings(namespace)
            self._kernel.bind(namespace, pin)
        finally:
            holder.kill()
            assert holder.stdin is not None
            holder.stdin.close()
            holder.wait()


def owner(pid: int) -> int | None:
    """Return the host id that owns a process's user namespace (NS_GET_OWNER_UID, ioctl_ns(2)).

    None: the process is gone.
    """
    try:
        with Path(f"/proc/{pid}/ns/user").open("rb") as namespace:
            return int(struct.unpack("I", fcntl.ioctl(namespace, _OWNER_UID, bytes(4)))[0])
    except (FileNotFoundError, ProcessLookupError):
        return None


def _as_user(owner: int | None) -> list[str]:
    """Return the command prefix that runs a program as this user.

    It also sets the limits, which apply to the namespace that the program creates (setrlimit(2)).
    The program keeps CAP_SYS_ADMIN. Some distributions require it for a new user namespace
    (kernel.unprivileged_userns_clone, AppArmor).
    """
    if owner is None:
        return []
    limits = [
        f"--{name.removeprefix('RLIMIT_').lower()}={most}:{most}"
        for name, most in kernel_accounts.rlimits().items()
    ]
    user = [
        f"--reuid={owner}",
        f"--regid={owner}",
        "--clear-groups",
        "--inh-caps=-all,+sys_admin",
        "--ambient-caps=+sys_admin",
    ]
    return ["prlimit", *limits, "setpriv", *user]


def _is_pinned(pin: Path) -> bool:
    try:
        return pin.stat().st_dev == Path("/proc/self/ns/user").stat().st_dev  # both on nsfs
    except FileNotFoundError:
        return False


def _await_own(namespace: Path, holder: Running[bytes]) -> None:
    deadline = time.monotonic() + _TIMEOUT
    while namespace.stat().st_ino == Path("/proc/self/ns/user").stat().st_ino:
        if holder.poll() is not None or time.monotonic() > deadline:
            raise LaunchFailed(
                "Could not create a user namespace.",
                hint="Check that `sysctl user.max_user_namespaces` is not 0.",
            )
        time.sleep(0.0005)
