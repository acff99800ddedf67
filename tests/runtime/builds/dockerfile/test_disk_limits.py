"""Tests that a Dockerfile's steps cannot fill the host's disk: writable bind mounts are on a disk
with the step's limit, which is gone after the step, also if the build was killed.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from runtime.errors import BuildFailed
from tests.runtime.builds.conftest import LIMITS, Forge
from tests.runtime.builds.test_ended_builds import nothing_left, ordered, yard
from tests.runtime.containers.conftest import settle

BASE = "FROM debian-13 AS base\nFROM debian-13\n"
MOUNTS = {
    "context": "--mount=type=bind,target=/m,rw",
    "stage": "--mount=type=bind,from=base,target=/m,rw",
}
pytestmark = pytest.mark.timeout(300)


def disks(forge: Forge) -> list[str]:
    """Return the loop devices that are mounted in a workspace, such as `loop3`."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    found = [line for line in lines if f"{forge.config.workspaces}/" in line and " ext4 " in line]
    return [line.partition(" ext4 ")[2].split()[0].removeprefix("/dev/") for line in found]


def holds_a_disk(device: str) -> bool:
    file = Path("/sys/block", device, "loop/backing_file")
    return file.exists() and "disk.ext4" in file.read_text()


@pytest.mark.parametrize("mount", MOUNTS.values(), ids=MOUNTS)
def test_a_writable_mount_has_a_disk_of_the_step_s_size(mount: str, forge: Forge) -> None:
    with pytest.raises(BuildFailed, match="line 3"):
        forge.build({"Dockerfile": f"{BASE}RUN {mount} fallocate -l 2G /m/x\nCMD x\n"})
    assert "No space left on device" in forge.said()
    assert disks(forge) == []


def test_all_writable_mounts_of_a_step_share_one_disk(forge: Forge) -> None:
    mounts = " ".join(f"{mount.replace('/m', f'/{name}')}" for name, mount in MOUNTS.items())
    half = f"fallocate -l {LIMITS.disk * 6 // 10}"
    step = f"{half} /context/x && touch /stage/x && echo both && ! {half} /stage/x"
    forge.build({"Dockerfile": f"{BASE}RUN {mounts} {step}\nRUN test ! -e /context/x\nCMD x\n"})
    assert "both" in forge.said()
    assert "No space left on device" in forge.said()


def test_the_disk_of_a_killed_build_is_removed(forge: Forge) -> None:
    with yard(forge) as process:
        assert process.stdout is not None
        step = f"RUN {MOUNTS['stage']} touch /m/x && sleep 100"
        pid = ordered(process, forge, {"Dockerfile": f"{BASE}{step}\nCMD x\n"})
        settle(lambda: any(forge.containers.list()), 60)
        (device,) = disks(forge)
        assert holds_a_disk(device)
        os.kill(pid, signal.SIGKILL)
        assert process.stdout.readline() == "gone\n"
        settle(
            lambda: (
                forge.containers.sweep(),
                forge.builder.sweep(),
                not forge.leftovers() and not holds_a_disk(device),
            )[-1],
            30,
        )
    nothing_left(forge)
