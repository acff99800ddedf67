"""User namespaces, pinned to files: one a team for its containers, one more for the ids of its builds' writable layers.

A pin is a bind mount of the namespace's file (namespaces(7)); it outlives every process of ours, and goes with the reboot.
"""

from __future__ import annotations

import time
from pathlib import Path

from runtime import journal
from runtime.containers.spec import IDS_A_TEAM
from runtime.errors import LaunchFailed
from runtime.kernel import Kernel
from runtime.process import NOWHERE, PIPE, Running, spawn

_PATIENCE = 10.0  # seconds


class UserNamespaces:
    """Pins below one folder."""

    def __init__(self, folder: Path, kernel: Kernel) -> None:
        self._folder, self._kernel = folder, kernel

    def of_team(self, team: int, first_id: int) -> Path:
        """Root inside is the host's `first_id`, and so on for all ids a team has."""
        return self._ensure(str(team), f"0 {first_id} {IDS_A_TEAM}")

    def of_build_layers(self, team: int, first_id: int) -> Path:
        """The same but for its last id, which is the host's root: the overlay itself writes with that one."""
        return self._ensure(f"{team}-build", f"0 {first_id} {IDS_A_TEAM - 1}\n{IDS_A_TEAM - 1} 0 1")

    def of_written(self, team: int, first_id: int) -> Path:
        """The way back: what was written with a team's ids reads as with those it has inside."""
        return self._ensure(f"{team}-written", f"{first_id} 0 {IDS_A_TEAM}")

    def remove_all(self) -> None:
        """Unpin all; a namespace in use lives on until its last process ends."""
        for pin in self._kernel.mounts_below(self._folder):
            self._kernel.unmount(pin, lazily=True)

    def _ensure(self, name: str, ids: str) -> Path:
        pin = self._folder / name
        if not _is_pinned(pin):
            with journal.lock(self._folder / f".{name}.lock"):
                if not _is_pinned(pin):
                    self._pin(pin, ids)
        return pin

    def _pin(self, pin: Path, ids: str) -> None:
        pin.touch(mode=0o600)
        holder = spawn(["unshare", "--user", "cat"], stdin=PIPE, stdout=NOWHERE)  # ends with its stdin
        try:
            namespace = Path(f"/proc/{holder.pid}/ns/user")
            _await_own(namespace, holder)
            for kind in ("uid_map", "gid_map"):
                Path(f"/proc/{holder.pid}/{kind}").write_text(ids)
            self._kernel.bind(namespace, pin)
        finally:
            holder.kill()
            assert holder.stdin is not None
            holder.stdin.close()
            holder.wait()


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
