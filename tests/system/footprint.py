"""All that a platform leaves in the kernel and among the processes, as a set of words to compare before and after."""

import os
import re
from pathlib import Path

from runtime.process import run
from tests.leaks import NAME

# Other tests' things, and those of a platform that somebody runs on this machine: they come and go by themselves.
OTHERS = re.compile(NAME.pattern + r"|/pytest-of-|/tmp/slipway-[a-z]+-|(?<![\w-])slipway(?:0|-\d+)?(?![\w-])")

# What a team has for as long as the node runs: control groups for its instances and builds, and its user namespaces.
OF_A_TEAM = re.compile(r"/team\d+$|^cgroup .*/builds$|/run/userns/")


def footprint(mark: str) -> set[str]:
    """Kernel objects of the whole machine, and the processes that carry `mark`, a node's name.

    What carries another node's name is left out.
    """
    things = {*_links(), *_mounts(mark), *_cgroups(mark), *_tables(), *_loops(mark), *_processes(mark)}
    return {thing for thing in things if mark in thing or not OTHERS.search(thing)}


def _links() -> list[str]:
    named = [f"network namespace {name}" for name in _entries("/run/netns")]
    return named + [f"link {name}" for name in _entries("/sys/class/net")]


def _mounts(mark: str) -> list[str]:
    lines = _read("/proc/self/mountinfo", mark)
    return [f"mount {line.split()[4]} of {line.rpartition(' - ')[2]}" for line in lines]


def _cgroups(mark: str) -> list[str]:
    """The top of each hierarchy, and all that is ours; what other daemons do below their own is their business."""
    folders = [Path(folder) for folder, _, _ in os.walk("/sys/fs/cgroup")]
    found = [folder for folder in folders if (mark in str(folder) or folder.parent.is_mount()) and not _is_at_work(folder)]
    return [f"cgroup {folder}" for folder in found]


def _is_at_work(folder: Path) -> bool:
    """Return whether this is the group of a helper that has a process: it works for a moment, for upkeep too. An empty one is a leak."""
    try:
        return folder.name.startswith("helper-") and bool((folder / "cgroup.procs").read_text())
    except OSError:  # it ended meanwhile
        return True


def _tables() -> list[str]:
    return [f"nftables {line}" for line in run(["nft", "list", "tables"]).stdout.decode().splitlines()]


def _loops(mark: str) -> list[str]:
    """Loop devices of this node's workers, and those on files of the machine.

    Another node's lie in a mount namespace that is not ours: the kernel tells the end of their path alone.
    """
    files = [line for path in Path("/sys/block").glob("loop*/loop/backing_file") for line in _read(path, mark)]
    return [f"loop device on {file}" for file in files if mark in file or Path(file).exists()]


def _read(path: str | Path, mark: str) -> list[str]:
    """Return the lines of a file as this process sees it, and as the node's workers do, who have a mount namespace of their own."""
    words = [["cat", path], *(["nsenter", f"--mount=/proc/{pid}/ns/mnt", "cat", path] for pid in _workers(mark))]
    return [line for command in words for line in run(command, check=False).stdout.decode().splitlines()]


def _workers(mark: str) -> list[int]:
    """Return one process of each mount namespace that the node's workers run in."""
    found: dict[Path, int] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if b"-m\0workers.s" in (entry / "cmdline").read_bytes() and mark.encode() in (entry / "environ").read_bytes():
                found[(entry / "ns/mnt").readlink()] = int(entry.name)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it ended while we looked
    return sorted(found.values())


def _processes(mark: str) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes()
            environment = (entry / "environ").read_bytes()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it ended while we looked
        if int(entry.name) != os.getpid() and mark.encode() in command + environment:
            found.append(f"process {entry.name} of {mark}: {command.replace(bytes(1), b' ').decode(errors='replace')}")
    return found


def _entries(folder: str) -> list[str]:
    try:
        return [entry.name for entry in Path(folder).iterdir()]
    except FileNotFoundError:
        return []
