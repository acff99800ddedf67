"""Read the mounts of this process's mount namespace: /proc/self/mountinfo (proc(5))."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A line of /proc/self/mountinfo (proc(5))."""

    target: Path
    kind: str
    source: str
    options: frozenset[str]  # of the filesystem, not of the mount


def mounts() -> list[Mount]:
    """Return all mounts of our mount namespace, in the order of their creation."""
    return [_parse_mount(line) for line in Path("/proc/self/mountinfo").read_text().splitlines()]


_ESCAPE = re.compile(r"\\([0-7]{3})")


def _parse_mount(line: str) -> Mount:
    before, _, after = line.partition(" - ")
    kind, source, options = after.split(" ", 2)
    target = _ESCAPE.sub(lambda match: chr(int(match[1], 8)), before.split(" ")[4])
    return Mount(
        target=Path(target), kind=kind, source=source, options=frozenset(options.split(","))
    )
