"""User namespaces, pinned to files: one a team for its containers, and one that only shifts the ids of mounts.

A pin is a bind mount of the namespace's file (namespaces(7)); it outlives every process of ours, and goes with the reboot.

The namespace of a team's containers is owned by the team's first id, so that the kernel counts what they hold to the team (see
accounts). The other is owned by root: no process is ever in it. Earlier releases had root own all of them, under other names
of pins. What they pinned stays until `make down` or the reboot; only instances that were started before the upgrade use it.
"""

from __future__ import annotations

import fcntl
import struct
import time
from pathlib import Path

from runtime import journal
from runtime.containers import kernel_accounts
from runtime.containers.spec import IDS_A_TEAM
from runtime.errors import LaunchFailed
from runtime.kernel import Kernel
from runtime.process import NOWHERE, PIPE, Running, spawn

_PATIENCE = 10.0  # seconds
_OWNER_UID = 0xB704


class UserNamespaces:
    """Pins below one folder."""

    def __init__(self, folder: Path, kernel: Kernel) -> None:
        self._folder, self._kernel = folder, kernel

    def of_team(self, team: int, first_id: int) -> Path:
        """Root inside is the host's `first_id`, and so on for all ids a team has."""
        return self._ensure(f"{team}-own", f"0 {first_id} {IDS_A_TEAM}", owner=first_id)

    def of_written(self, team: int, first_id: int) -> Path:
        """The way back: what was written with a team's ids reads as with those it has inside."""
        return self._ensure(f"{team}-written", f"{first_id} 0 {IDS_A_TEAM}")

    def remove_all(self) -> None:
        """Unpin all; a namespace in use lives on until its last process ends."""
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
        holder = spawn([*_as_user(owner), "unshare", "--user", "cat"], stdin=PIPE, stdout=NOWHERE)  # ends with its stdin
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
    """Return the host id that owns a process's user namespace (NS_GET_OWNER_UID, ioctl_ns(2)); None: the process is gone."""
    try:
        with Path(f"/proc/{pid}/ns/user").open("rb") as namespace:
            return int(struct.unpack("I", fcntl.ioctl(namespace, _OWNER_UID, bytes(4)))[0])
    except (FileNotFoundError, ProcessLookupError):
        return None


def _as_user(owner: int | None) -> list[str]:
    """Return the words that make a program run as this user, whose namespace gets the limits it has (setrlimit(2)).

    It keeps one capability: some distributions let nobody else make a namespace (kernel.unprivileged_userns_clone, AppArmor).
    """
    if owner is None:
        return []
    limits = [f"--{name.removeprefix('RLIMIT_').lower()}={most}:{most}" for name, most in kernel_accounts.rlimits().items()]
    user = [f"--reuid={owner}", f"--regid={owner}", "--clear-groups", "--inh-caps=-all,+sys_admin", "--ambient-caps=+sys_admin"]
    return ["prlimit", *limits, "setpriv", *user]


def _is_pinned(pin: Path) -> bool:
    try:
        return pin.stat().st_dev == Path("/proc/self/ns/user").stat().st_dev  # both on nsfs
    except FileNotFoundError:
        return False


def _await_own(namespace: Path, holder: Running[bytes]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while namespace.stat().st_ino == Path("/proc/self/ns/user").stat().st_ino:
        if holder.poll() is not None or time.monotonic() > deadline:
            raise LaunchFailed("No user namespace could be made.", hint="Check that `sysctl user.max_user_namespaces` is not 0.")
        time.sleep(0.0005)
