"""What the platform itself keeps in memory: the proportional share of each of its processes, apps and monitors not counted."""

from collections.abc import Mapping
from pathlib import Path


def proportional(processes: Mapping[str, list[int]]) -> dict[str, int]:
    """Bytes by the name of a part, from its process ids (PSS of smaps_rollup: shared pages are split among their users)."""
    return {name: sum(_share(pid) for pid in pids) for name, pids in processes.items()}


def report(processes: Mapping[str, list[int]]) -> str:
    shares = proportional(processes)
    parts = ", ".join(f"{name} {share / 2**20:.0f}" for name, share in sorted(shares.items(), key=lambda pair: -pair[1]))
    return f"{sum(shares.values()) / 2**20:.0f} MiB ({parts})"


def _share(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0  # it ended meanwhile
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
