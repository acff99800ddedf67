"""The folder of a volume: the paths in it, and its record.

volume.json          the team. Written last at the creation: without it the volume is half-made
disk.ext4            the file system
mount/               its mount point; `data` in it is what instances see
snapshots/N.ext4     copies of the disk
frozen               exists while a process has stopped writes to the disk
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime import journal

DATA = "data"


@dataclass(frozen=True, slots=True)
class Folder:
    """Paths below a volume's folder, and its record."""

    path: Path

    @property
    def number(self) -> int:
        """Return the number of the volume: the name of the folder."""
        return int(self.path.name)

    @property
    def disk(self) -> Path:
        """Return the path of the file system's file."""
        return self.path / "disk.ext4"

    @property
    def mount(self) -> Path:
        """Return the mount point of the file system."""
        return self.path / "mount"

    @property
    def data(self) -> Path:
        """Return the folder that instances see. It is not the root of the file system.

        So instances do not see `lost+found`, and cannot rename or remove the folder.
        """
        return self.mount / DATA

    @property
    def snapshots(self) -> Path:
        """Return the folder of snapshots."""
        return self.path / "snapshots"

    @property
    def frozen(self) -> Path:
        """Return the path of the mark of a frozen disk."""
        return self.path / "frozen"

    def snapshot(self, number: int) -> Path:
        """Return the path of a snapshot's file."""
        return self.snapshots / f"{number}.ext4"

    def write_team(self, team: int) -> None:
        """Record that the volume is complete, and its team."""
        journal.write_json(self.path / "volume.json", {"team": team})

    def team(self) -> int | None:
        """Return the recorded team; None if the volume does not exist or is half-made."""
        value: Any = journal.read_json(self.path / "volume.json")
        return int(value["team"]) if value is not None else None
