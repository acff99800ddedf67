"""The limits of one program of the portal, and the error messages for them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

MIB = 2**20


class ReachedLimit(StrEnum):
    """The limit that ended a program."""

    MEMORY = "memory"
    PROCESSES = "processes"
    CPU = "cpu"
    TIME = "time"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramLimits:
    """The limits of a program and of all processes that it starts, together."""

    memory: int  # bytes
    cpu_seconds: int  # of processor time
    seconds: int  # of real time
    file_size: int  # bytes of one file that the program writes
    processes: int = 64

    def sentence(self, what: str, reached: ReachedLimit) -> str:
        """Return the sentence that says which limit `what` ("This push", "This fetch") has
        reached."""
        match reached:
            case ReachedLimit.MEMORY:
                return (
                    f"{what} needed more than {self.memory // MIB} MiB of memory and was stopped."
                )
            case ReachedLimit.PROCESSES:
                return f"{what} needed more than {self.processes} processes and was stopped."
            case ReachedLimit.CPU:
                return (
                    f"{what} needed more than {self.cpu_seconds} s of processor time and was"
                    " stopped."
                )
            case ReachedLimit.TIME:
                return f"{what} took longer than {self.seconds} s and was stopped."


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamLimits:
    """The limits of all running programs of one team together."""

    memory: int  # bytes
    processes: int = 512
    cpu: int = 1000  # millicores
