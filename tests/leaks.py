"""What lies about on this machine that a test could have left: looked at before and after the run, and compared.

Only what carries a test's name counts: a node of a test is called `t` and six hex digits, and its files lie in a temporary folder.
"""

import os
import re
import shutil
from pathlib import Path

from runtime.process import run

NAME = re.compile(r"(?<![0-9A-Za-z])t[0-9a-f]{6}(?![a-f]|[g-zG-Z])")
FOLDER = re.compile(r"/(?:pytest-of-[^/]+/pytest-\d+|slipway-tests-[^/]+)/")


def leftovers() -> set[str]:
    """Every kernel object of a test there is now, each in words."""
    return {thing for thing in (*_mounts(), *_cgroups(), *_interfaces(), *_tables(), *_processes()) if _of_a_test(thing)}


def another_run() -> bool:
    """Whether a second pytest is at work on this machine: its things and ours cannot be told apart."""
    return any("pytest" in words and pid not in _ancestors() for pid, words in _command_lines())


def _of_a_test(thing: str) -> bool:
    return bool(NAME.search(thing) or FOLDER.search(thing))


def _mounts() -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [f"mount {line.split()[4]}" for line in lines]


def _cgroups() -> list[str]:
    root = Path("/sys/fs/cgroup")
    return [f"cgroup {folder}" for pattern in ("t*", "*/t*", "*/*/t*") for folder in root.glob(pattern) if folder.is_dir()]


def _interfaces() -> list[str]:
    return [f"interface {entry.name}" for entry in Path("/sys/class/net").iterdir()]


def _tables() -> list[str]:
    if shutil.which("nft") is None:  # `make check` needs no program of a node, and a machine without nft has no table of ours
        return []
    return [f"nftables {line}" for line in run(["nft", "list", "tables"], check=False).stdout.decode().splitlines()]


def _processes() -> list[str]:
    mine = _ancestors()
    return [f"process {pid}: {words}" for pid, words in _command_lines() if pid not in mine]


def _command_lines() -> list[tuple[int, str]]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
        if words:
            found.append((int(entry.name), words))
    return found


def _ancestors() -> set[int]:
    """This process and those above it: shells whose command line names a test, the runner itself."""
    found, pid = set(), os.getpid()
    while pid > 0:
        found.add(pid)
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except FileNotFoundError:
            break
    return found
