"""Identity of processes: pid and start time, because the kernel reuses pids."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path


def started(pid: int) -> int | None:
    """Return a process's start time in clock ticks since boot (proc_pid_stat(5), field 22).

    None: there is no such process, or it is a zombie.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def is_alive(pid: int, since: int) -> bool:
    """Return whether the pid is still the process that started at `since`."""
    return started(pid) == since


def send(pid: int, since: int, number: signal.Signals) -> bool:
    """Send a signal to exactly this process (pidfd_send_signal(2)); False: it is gone."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        if not is_alive(pid, since):
            return False
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(fd, number)
            return True
        return False
    finally:
        os.close(fd)


def wait(pid: int, since: int, timeout: float) -> bool:
    """Wait until the process has ended, whether or not it is our child.

    Return False after `timeout` seconds.
    """
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        if not is_alive(pid, since):
            return True
        poller = select.poll()
        poller.register(fd, select.POLLIN)
        return bool(poller.poll(max(timeout, 0) * 1000))
    finally:
        os.close(fd)


def command_lines() -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield each process's pid and arguments. Kernel threads and zombies have none."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):  # the process has ended
                yield (
                    int(entry.name),
                    tuple((entry / "cmdline").read_bytes().decode(errors="replace").split("\0")),
                )


@cache
def boot() -> str:
    """Return the id of this boot. Pids and pins of another boot are not valid."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
