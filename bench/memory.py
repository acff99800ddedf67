"""The memory of the platform itself: the proportional set size of its processes.

Apps and their monitors are not counted.
"""

from pathlib import Path

NAMES = {
    "redis-server": "Redis",
    "haproxy": "router",
    "gunicorn": "portal",
    "worker-build": "build worker",
    "worker-node": "node worker",
    "workers.supervisor": "supervisor",
    "workers.setup.keeper": "process manager",
    "workers.setup": "make up",
}


def report(manager: int) -> str:
    """Return a report of the platform's memory.

    `manager` is the process id of `make up`. All processes of the platform descend from it, but no
    app does.
    """
    shares: dict[str, int] = {}
    for pid, command in _family(manager):
        name = next((name for words, name in NAMES.items() if words in command), command[:40])
        shares[name] = shares.get(name, 0) + _share(pid)
    parts = ", ".join(
        f"{name} {share / 1e6:.0f}"
        for name, share in sorted(shares.items(), key=lambda pair: -pair[1])
    )
    return f"{sum(shares.values()) / 1e6:.0f} MB ({parts})"


def _family(manager: int) -> list[tuple[int, str]]:
    children: dict[int, list[int]] = {}
    commands: dict[int, str] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            commands[int(entry.name)] = (
                (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            )
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile
        children.setdefault(parent, []).append(int(entry.name))
    found, waiting = [], [manager]
    while waiting:
        pid = waiting.pop()
        found.append((pid, commands.get(pid, "")))
        waiting += children.get(pid, [])
    return found


def _share(pid: int) -> int:
    """Return the PSS of smaps_rollup (proc(5)): shared pages are divided among their processes."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
