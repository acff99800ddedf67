"""Values that describe a volume and its disk. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from runtime.contract.quantities import Bytes
from runtime.contract.volumes import checked_size


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """A persistent folder. `number` is unique among all volumes of all time."""

    number: int
    team: int
    size: Bytes

    def __post_init__(self) -> None:
        # They become names of folders and host ids, and this process is root.
        if self.number < 1 or self.team < 1:
            raise ValueError(f"{self.number} of team {self.team} is not a valid volume.")
        checked_size(self.size)


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskUse:
    """The use of a mounted volume, as the kernel counts it."""

    used: Bytes
    total: Bytes
    files: int
    most_files: int
