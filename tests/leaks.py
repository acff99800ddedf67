"""The objects on this machine that a test may have left.

They are collected before and after the run, and compared. Only objects with a test's name are
collected. A test's node is called `t` and six hex digits, and its files are in a temporary folder.
"""

import os
import re
import shutil
from pathlib import Path

from runtime.process import run

NAME = re.compile(r"(?<![0-9A-Za-z])t[0-9a-f]{6}(?![a-f]|[g-zG-Z])")
FOLDER = re.compile(r"/(?:pytest-of-[^/]+/pytest-\d+|slipway-tests-[^/]+)/")


def leftovers() -> set[str]:
    """Return a description of every kernel object of a test that exists now."""
    return {
        thing
        for thing in (*_mounts(), *_cgroups(), *_interfaces(), *_tables(), *_processes())
        if _of_a_test(thing)
    }


def another_run() -> bool:
    """Return whether a second pytest runs on this machine: its objects look the same as ours."""
    return any("pytest" in words and pid not in _ancestors() for pid, words in _command_lines())


def _of_a_test(thing: str) -> bool:
    return bool(NAME.search(thing) or FOLDER.search(thing))


def _mounts() -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [f"mount {line.split()[4]}" for line in lines]


def _cgroups() -> list[str]:
    root = Path("/sys/fs/cgroup")
    return [
        f"cgroup {folder}"
        for pattern in ("t*", "*/t*", "*/*/t*")
        for folder in root.glob(pattern)
        if folder.is_dir()
    ]


def _interfaces() -> list[str]:
    return [f"interface {entry.name}" for entry in Path("/sys/class/net").iterdir()]


def _tables() -> list[str]:
    if (
        shutil.which("nft") is None
    ):  # `make check` needs no program of a node, and without nft there is no table
        return []
    return [
        f"nftables {line}"
        for line in run(["nft", "list", "tables"], check=False).stdout.decode().splitlines()
    ]


def _processes() -> list[str]:
    mine = _ancestors()
    return [f"process {pid}: {words}" for pid, words in _command_lines() if pid not in mine]


def _command_lines() -> list[tuple[int, str]]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (
                (entry / "cmdline")
                .read_bytes()
                .replace(b"\0", b" ")
                .decode(errors="replace")
                .strip()
            )
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended in the meantime
        if words:
            found.append((int(entry.name), words))
    return found


def _ancestors() -> set[int]:
    """Return this process and its ancestors.

    They are shells whose command line names a test, and the runner itself.
    """
    found, pid = set(), os.getpid()
    while pid > 0:
        found.add(pid)
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except FileNotFoundError:
            break
    return found
