"""Values that describe an existing container: status, exit and resource usage."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from enum import StrEnum

from runtime.containers.spec import ContainerSpec
from runtime.contract.quantities import Bytes


class Status(StrEnum):
    """Status of a container: created → running → exited.

    A broken container can only be removed: its creation did not finish, or its monitor is gone.
    """

    CREATED = "created"
    RUNNING = "running"
    EXITED = "exited"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """The end of a container.

    `code` is 128 + signal if a signal ended it, as in a shell. `because` is the reason if the
    platform ended it.
    """

    code: int
    signal: int | None
    out_of_memory: bool  # the kernel killed the container or a process in it at the memory limit
    at: float
    memory: Bytes | None = None  # the container's own limit
    of_team: bool = False  # the team's memory limit was reached, not the container's own
    because: str = ""

    def explain(self) -> str:
        """Return one sentence that explains the end to a user."""
        if self.because:
            return self.because
        if self.out_of_memory and self.of_team:
            return (
                "The team's instances together used all of the team's memory, and the kernel killed"
                " a process of it."
            )
        memory = f"its {self.memory} of memory" if self.memory else "its memory"
        if self.out_of_memory and self.signal == signal.SIGKILL:
            return f"It used all of {memory} and was killed."
        if self.out_of_memory:
            return (
                f"It exited with code {self.code} after the kernel had killed a process of it for"
                f" using all of {memory}."
            )
        if self.signal is not None:
            return f"It was ended by {signal.Signals(self.signal).name}."
        if self.code == 127:
            return "It exited with code 127: its command was not found."
        return f"It exited with code {self.code}."


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Resources that a container uses now, from its cgroup and its scratch disk."""

    cpu_seconds: float  # since the container was created
    memory_bytes: int  # without file cache that the kernel can drop at once
    processes: int  # processes and threads, without init
    disk_bytes: int
    oom_kills: int
    refused_processes: int  # attempts to start a process or thread above a limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A container: its spec and its current state."""

    id: str
    spec: ContainerSpec
    status: Status
    pid: int | None  # of its init, in the host's PID namespace
    address: str | None
    created_at: float
    started_at: float | None
    exit: Exit | None


def exit_of(
    code: int, *, at: float, oom_kills: int, memory: Bytes, of_team: bool = False, because: str = ""
) -> Exit:
    """Return the Exit for an exit code in the shell's form (128 + signal)."""
    number = code - 128
    ended_by = number if number in {int(known) for known in signal.Signals} else None
    killed = bool(oom_kills) and code != 0
    return Exit(
        code=code,
        signal=ended_by,
        out_of_memory=killed,
        at=at,
        memory=memory,
        of_team=killed and of_team,
        because=because,
    )
