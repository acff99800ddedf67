"""A container as it is found: its status, how it ended, what it uses. Values only."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from enum import StrEnum

from runtime.containers.spec import ContainerSpec
from runtime.contract.quantities import Bytes


class Status(StrEnum):
    """created → running → exited; broken is one that can only be removed (half-made, or its monitor is gone)."""

    CREATED = "created"
    RUNNING = "running"
    EXITED = "exited"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """How a container ended. `code` is 128 + signal for a signal, as a shell says it; `because` is ours, if we ended it."""

    code: int
    signal: int | None
    out_of_memory: bool  # the kernel killed it, or a process of it, for reaching the memory limit
    at: float
    memory: Bytes | None = None  # its own limit
    of_team: bool = False  # it was the team's memory, not its own, that was used up
    because: str = ""

    def explain(self) -> str:
        """One sentence for people."""
        if self.because:
            return self.because
        if self.out_of_memory and self.of_team:
            return "The team's instances together used all of the team's memory, and the kernel killed a process of it."
        memory = f"its {self.memory} of memory" if self.memory else "its memory"
        if self.out_of_memory and self.signal == signal.SIGKILL:
            return f"It used all of {memory} and was killed."
        if self.out_of_memory:
            return f"It exited with code {self.code} after the kernel had killed a process of it for using all of {memory}."
        if self.signal is not None:
            return f"It was ended by {signal.Signals(self.signal).name}."
        if self.code == 127:
            return "It exited with code 127: its command was not found."
        return f"It exited with code {self.code}."


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a container uses now, as its cgroup and its scratch disk count it."""

    cpu_seconds: float  # since it was created
    memory_bytes: int  # without file cache that can be dropped at once
    processes: int  # and threads, init not counted
    disk_bytes: int
    oom_kills: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One container: what was asked for, and what is."""

    id: str
    spec: ContainerSpec
    status: Status
    pid: int | None  # its init, seen from the host
    address: str | None
    created_at: float
    started_at: float | None
    exit: Exit | None


def exit_of(code: int, *, at: float, oom_kills: int, memory: Bytes, of_team: bool = False, because: str = "") -> Exit:
    """Read a shell-like exit code."""
    number = code - 128
    ended_by = number if number in {int(known) for known in signal.Signals} else None
    killed = bool(oom_kills) and code != 0
    return Exit(code=code, signal=ended_by, out_of_memory=killed, at=at, memory=memory, of_team=killed and of_team, because=because)
