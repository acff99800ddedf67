"""The properties of volumes on this machine, for `make doctor` and for the growth of a volume."""

from __future__ import annotations

from pathlib import Path

_CAP_SYS_RESOURCE = 24  # linux/capability.h
_WITH_REFLINKS = ("xfs", "btrfs")


def can_grow_while_mounted() -> bool:
    """Return whether the kernel lets this process resize a mounted ext4 file system."""
    status = Path("/proc/self/status").read_text()
    held = next(line for line in status.splitlines() if line.startswith("CapEff:"))
    return int(held.split()[1], 16) >> _CAP_SYS_RESOURCE & 1 == 1


def describe(state_filesystem: str, *, grows: bool) -> str:
    """Return a sentence about the limits, copies and growth of volumes."""
    copies = (
        f"Copies share their data, as far as this {state_filesystem} has reflinks."
        if state_filesystem in _WITH_REFLINKS
        else f"Snapshots are full copies, because {state_filesystem} has no reflinks."
    )
    growth = (
        "They grow while instances use them."
        if grows
        else "They grow when their app restarts, because this root lacks CAP_SYS_RESOURCE."
    )
    return (
        "Volumes: each is a file with an ext4 file system of its own, whose size the kernel"
        f" enforces. {copies} {growth}"
    )
