"""The count and size of a process type, as a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from portal.apps.models import ProcessFormation
from portal.errors import ValueRefused

MIB = 2**20
LEAST = {"count": 0, "cpu": 50, "memory": 32 * MIB, "processes": 8, "disk": 16 * MIB}
_MOST = 2**31 - 1  # of count, cpu and processes: the limit of their database columns


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """The size of one instance: CPU in millicores, memory and disk in bytes, `processes` as the
    number of PIDs including threads."""

    count: int = 1
    cpu: int = 500
    memory: int = 512 * MIB
    processes: int = 128
    disk: int = 512 * MIB

    @classmethod
    def of(cls, row: ProcessFormation) -> Self:
        """Return the values of the row."""
        return cls(
            count=row.count, cpu=row.cpu, memory=row.memory, processes=row.processes, disk=row.disk
        )

    def check(self, process: str) -> None:
        """Raise ValueRefused if an instance of this size could not start."""
        for name, least in LEAST.items():
            value = getattr(self, name)
            most = 2**53 if name in ("memory", "disk") else _MOST
            if not least <= value <= most:
                raise ValueRefused(
                    f"{process} cannot have {name}={value}. The minimum is {least}, the maximum"
                    f" {most}.",
                    field=name,
                )

    def describe(self) -> str:
        """Describe the size for the audit log: "3 × 0.5 CPU, 512 MiB"."""
        return f"{self.count} × {self.cpu / 1000:g} CPU, {self.memory // MIB} MiB"
