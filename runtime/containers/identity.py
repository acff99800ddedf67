"""Who a process is, beyond a number that comes round again."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path


def started(pid: int) -> int | None:
    """Start time in clock ticks since boot (proc_pid_stat(5), field 22); None: no such process, or only its exit status is left."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def alive(pid: int, since: int) -> bool:
    """Whether it is still the one that started then."""
    return started(pid) == since


def send(pid: int, since: int, number: signal.Signals) -> bool:
    """Signal exactly this process (pidfd_send_signal(2)); False: it is gone."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        if not alive(pid, since):
            return False
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(fd, number)
            return True
        return False
    finally:
        os.close(fd)


def wait(pid: int, since: int, timeout: float) -> bool:
    """Until it has ended, anyone's child or not; False after `timeout` seconds."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        if not alive(pid, since):
            return True
        poller = select.poll()
        poller.register(fd, select.POLLIN)
        return bool(poller.poll(max(timeout, 0) * 1000))
    finally:
        os.close(fd)


def command_lines() -> Iterator[tuple[int, tuple[str, ...]]]:
    """All processes with their words; kernel threads and the dead have none."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):  # gone meanwhile
                yield int(entry.name), tuple((entry / "cmdline").read_bytes().decode(errors="replace").split("\0"))


@cache
def boot() -> str:
    """The id of this boot: pids and pins of another mean nothing."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
