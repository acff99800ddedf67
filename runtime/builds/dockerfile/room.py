"""The space that a step's layer may take. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

from runtime.builds.dockerfile.syntax import Instruction
from runtime.contract.quantities import Bytes
from runtime.errors import BuildFailed
from runtime.images.layers.sanitizing import MOST_ENTRIES


@dataclass(slots=True, kw_only=True)
class Room:
    """Count what one COPY or ADD writes, with holes in files, and stop it at its limit."""

    of: Instruction
    most: int  # bytes
    files: int = MOST_ENTRIES
    _size: int = 0
    _count: int = 0

    def take(self, size: int) -> None:
        """Count one more file or folder before it is written. BuildFailed: it is too much."""
        self._size += size
        self._count += 1
        if self._count > self.files:
            raise BuildFailed(
                f"Dockerfile, line {self.of.line}: {self.of.name} writes more than"
                f" {self.files:,} files.",
                hint="Copy fewer files, or pack them into one that is not unpacked.",
            )
        check_size(self.of, self._size, self.most)


def check_size(of: Instruction, size: int, most: int) -> None:
    """Raise BuildFailed if a step writes more than `most` bytes."""
    if size > most:
        raise BuildFailed(
            f"Dockerfile, line {of.line}: {of.name} writes {Bytes(size)} or more, and a step may"
            f" write at most {Bytes(most)}.",
            hint="Write less, and no file with a hole that is larger than this limit.",
        )
