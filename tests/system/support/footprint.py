"""The objects of a platform in the kernel and among the processes.

They are a set, to compare before and after.
"""

import os
import re
from pathlib import Path

from runtime.process import run
from tests.leaks import NAME

# Objects of other tests, and of a platform that runs on this machine: they appear and disappear
# independently.
OTHERS = re.compile(
    NAME.pattern + r"|/pytest-of-|/tmp/slipway-[a-z]+-|(?<![\w-])slipway(?:0|-\d+)?(?![\w-])"
)

# Objects that a team has while the node runs: cgroups for its instances and builds, and its user
# namespaces.
OF_A_TEAM = re.compile(r"/team\d+$|^cgroup .*/builds$|/run/userns/")


def footprint(mark: str) -> set[str]:
    """Return the kernel objects of the machine, and the processes that carry `mark`, a node's name.

    Objects that carry another node's name are left out.
    """
    things = {
        *_links(),
        *_mounts(mark),
        *_cgroups(mark),
        *_tables(),
        *_loops(mark),
        *_processes(mark),
    }
    return {thing for thing in things if mark in thing or not OTHERS.search(thing)}


def _links() -> list[str]:
    named = [f"network namespace {name}" for name in _entries("/run/netns")]
    return named + [f"link {name}" for name in _entries("/sys/class/net")]


def _mounts(mark: str) -> list[str]:
    lines = _read("/proc/self/mountinfo", mark)
    return [f"mount {line.split()[4]} of {line.rpartition(' - ')[2]}" for line in lines]


def _cgroups(mark: str) -> list[str]:
    """List the top of each hierarchy, and all cgroups of this node.

    Groups of other daemons below their own are left out.
    """
    folders = [Path(folder) for folder, _, _ in os.walk("/sys/fs/cgroup")]
    found = [
        folder
        for folder in folders
        if (mark in str(folder) or folder.parent.is_mount()) and not _is_at_work(folder)
    ]
    return [f"cgroup {folder}" for folder in found]


def _is_at_work(folder: Path) -> bool:
    """Return whether this is the cgroup of a helper that has a process.

    Such a helper works for a moment, for upkeep too. An empty group is a leak.
    """
    try:
        return folder.name.startswith("helper-") and bool((folder / "cgroup.procs").read_text())
    except OSError:  # it ended in the meantime
        return True


def _tables() -> list[str]:
    return [
        f"nftables {line}" for line in run(["nft", "list", "tables"]).stdout.decode().splitlines()
    ]


def _loops(mark: str) -> list[str]:
    """List loop devices of this node's workers, and those on files of the machine.

    Those of another node are in another mount namespace: the kernel shows only the end of their
    path.
    """
    files = [
        line
        for path in Path("/sys/block").glob("loop*/loop/backing_file")
        for line in _read(path, mark)
    ]
    return [f"loop device on {file}" for file in files if mark in file or Path(file).exists()]


def _read(path: str | Path, mark: str) -> list[str]:
    """Return a file's lines as this process and the node's workers see it.

    Workers have their own mount namespace.
    """
    words = [
        ["cat", path],
        *(["nsenter", f"--mount=/proc/{pid}/ns/mnt", "cat", path] for pid in _workers(mark)),
    ]
    return [
        line for command in words for line in run(command, check=False).stdout.decode().splitlines()
    ]


def _workers(mark: str) -> list[int]:
    """Return one process of each mount namespace that the node's workers run in."""
    found: dict[Path, int] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (
                b"-m\0workers.s" in (entry / "cmdline").read_bytes()
                and mark.encode() in (entry / "environ").read_bytes()
            ):
                found[(entry / "ns/mnt").readlink()] = int(entry.name)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it ended in the meantime
    return sorted(found.values())


def _processes(mark: str) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes()
            environment = (entry / "environ").read_bytes()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it ended in the meantime
        if int(entry.name) != os.getpid() and mark.encode() in command + environment:
            found.append(
                f"process {entry.name} of {mark}:"
                f" {command.replace(bytes(1), b' ').decode(errors='replace')}"
            )
    return found


def _entries(folder: str) -> list[str]:
    try:
        return [entry.name for entry in Path(folder).iterdir()]
    except FileNotFoundError:
        return []
