"""Tests that the running workers and the supervisor cannot change the machine.

Each is checked through its own namespace and capabilities.
"""

import sys
from pathlib import Path

import pytest

from runtime.process import run
from tests.system.support.box import ROOT
from workers.setup.confinement import CAPABILITIES

CONFINED = ("build worker", "node worker", "supervisor")
SET_OWNER = (
    "import os, sys; found = os.stat(sys.argv[1]); os.chown(sys.argv[1], found.st_uid,"
    " found.st_gid)"
)
NUMBERS = {
    "chown": 0,
    "sys_module": 16,
    "sys_rawio": 17,
    "sys_admin": 21,
    "sys_boot": 22,
    "sys_time": 25,
}  # linux/capability.h


@pytest.mark.parametrize("part", CONFINED)
def test_a_worker_cannot_change_the_machine(box, part):
    (pid,) = box.pids(part)
    assert Path(f"/proc/{pid}/ns/mnt").readlink() != Path("/proc/self/ns/mnt").readlink()
    for folder in (
        "/",
        "/etc",
        "/usr",
        "/root",
        "/home",
        "/var",
        str(ROOT),
        str(box.config.state / "secrets"),
    ):
        tried = run(
            ["nsenter", f"--mount=/proc/{pid}/ns/mnt", sys.executable, "-c", SET_OWNER, folder],
            check=False,
        )
        assert b"Read-only file system" in tried.stderr, f"{folder}: {tried}"


@pytest.mark.parametrize("part", CONFINED)
def test_a_worker_holds_only_the_capabilities_of_its_work(box, part):
    (pid,) = box.pids(part)
    lines = dict(
        line.split(":\t")
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if ":\t" in line
    )
    for kind in ("CapEff", "CapPrm", "CapBnd"):
        held = {name for name, number in NUMBERS.items() if int(lines[kind], 16) >> number & 1}
        assert held == set(CAPABILITIES) & set(NUMBERS)
