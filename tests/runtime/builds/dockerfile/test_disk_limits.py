"""Tests that a Dockerfile's steps cannot fill the host's disk: writable bind mounts are on a disk
with the step's limit, which is gone after the step, also if the build was killed. A layer has the
same limit.
"""

from __future__ import annotations

import io
import os
import shutil
import signal
import tarfile
from pathlib import Path

import pytest

from runtime.builds.dockerfile.run.cache_mounts import CACHE_LIMIT
from runtime.errors import BuildFailed
from runtime.team_ids import first_id_of
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


def test_a_cache_is_not_filled_beyond_the_team_s_limit(forge: Forge) -> None:
    caches = forge.config.cache / "mounts" / "7"
    nearly_full = caches / ("0" * 32)
    nearly_full.mkdir(parents=True)
    with (nearly_full / "x").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, CACHE_LIMIT - (4 << 20))
    for path in (nearly_full, nearly_full / "x"):
        os.chown(path, first_id_of(7), first_id_of(7))
    base = "FROM debian-13 AS base\nRUN head -c 8M /dev/urandom > /big\nFROM debian-13\n"
    mount = "--mount=type=cache,from=base,target=/m"
    try:
        with pytest.raises(BuildFailed, match=r"line 4: .* for /m, .* would exceed 4 GiB"):
            forge.build({"Dockerfile": f"{base}RUN {mount},source=/big true\nCMD x\n"}, team=7)
        assert list(caches.iterdir()) == [nearly_full]
        step = f"RUN {mount},source=/etc test -e /m/passwd"
        forge.build({"Dockerfile": f"{base}{step}\nCMD x\n"}, team=7)
    finally:
        shutil.rmtree(caches)


def test_the_context_is_copied_once_for_all_mounts_of_a_build(forge: Forge) -> None:
    """With a .dockerignore, a mount shows a copy of the context."""
    mounts = " ".join(f"--mount=type=bind,target=/m{number},rw" for number in range(3))
    steps = f"RUN {mounts} sleep 2 && rm /m0/big && test -e /m1/big && test ! -e /m2/hidden\n" * 2
    disk = forge.config.state.stat().st_dev
    copies: list[int] = []

    def look() -> bool:
        found = forge.config.workspaces.rglob("big")
        copies.append(sum(path.stat().st_dev == disk for path in found))
        return False

    files = {"Dockerfile": f"FROM debian-13\n{steps}CMD x\n", "big": "x"}
    forge.build({**files, ".dockerignore": "hidden\n", "hidden": ""}, cancelled=look)
    assert max(copies) == 2, "the source and one copy"


SIZES = {
    "hole": ("RUN true && truncate -s 6G /x\n", "line 2: RUN writes 6 GiB or more"),
    "copies": (
        "COPY --from=base /x /x /3/\n",
        "line 4: COPY writes 1.4 GiB or more",
    ),
}


def test_a_cache_that_a_short_step_fills_beyond_the_limit_is_not_kept(forge: Forge) -> None:
    step = "RUN --mount=type=cache,target=/c fallocate -l 5G /c/x"
    with pytest.raises(BuildFailed, match="line 2: the team's cache mounts exceeded 4 GiB"):
        forge.build({"Dockerfile": f"FROM debian-13\n{step}\nCMD x\n"})
    assert list((forge.config.cache / "mounts").glob("*/*")) == []


@pytest.mark.parametrize(("steps", "sentence"), SIZES.values(), ids=SIZES)
def test_a_layer_larger_than_the_step_s_limit_is_refused(
    steps: str, sentence: str, forge: Forge
) -> None:
    start = "FROM debian-13\n"
    if "base" in steps:
        start = f"FROM debian-13 AS base\nRUN truncate -s 700M /x\n{start}"
    with pytest.raises(BuildFailed) as caught:
        forge.build({"Dockerfile": f"{start}{steps}CMD x\n"})
    assert sentence in caught.value.what
    assert "a step may write at most 1 GiB" in caught.value.what


def test_added_zeros_are_refused_at_the_step_s_limit(forge: Forge) -> None:
    """An upload of a few MiB: an archive of zeros, compressed twice."""
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w:gz", compresslevel=1) as tar:
        info = tarfile.TarInfo("zeros")
        info.size = LIMITS.disk + 1
        with Path("/dev/zero").open("rb") as zeros:
            tar.addfile(info, zeros)
    outer = io.BytesIO()
    with tarfile.open(fileobj=outer, mode="w:gz") as tar:
        for name, data in (
            ("Dockerfile", b"FROM debian-13\nADD a.tar /\nCMD x\n"),
            ("a.tar", inner.getvalue()),
        ):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    with pytest.raises(BuildFailed, match="line 2: ADD writes 1 GiB or more"):
        forge.builder.build(forge.request_of(outer.getvalue()), forge.log.append)
