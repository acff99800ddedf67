"""The portal's control groups: detection and limits on both versions, with folders and plain files
instead of a kernel."""

import os
from pathlib import Path

import pytest

from portal.programs import groups
from portal.programs.limits import MIB, ProgramLimits, TeamLimits

LIMITS = ProgramLimits(memory=64 * MIB, cpu_seconds=9, seconds=9, file_size=MIB, processes=7)
TEAM = TeamLimits(memory=128 * MIB, processes=70, cpu=1500)


def mounts(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "mountinfo"
    path.write_text("".join(f"30 20 0:25 / {line}\n" for line in lines))
    return path


def group_file(tmp_path: Path, path: str) -> Path:
    file = tmp_path / "cgroup"
    file.write_text(f"1:name=systemd:/elsewhere\n0::{path}\n")
    return file


def folder(path: Path) -> Path:
    path.mkdir(parents=True)
    (path / "cgroup.procs").write_text("")
    return path


def test_version_2_is_found_below_its_mount_and_limited_in_its_own_files(tmp_path: Path) -> None:
    place = folder(tmp_path / "unified" / "slipway" / "portal")
    table = mounts(tmp_path, f"{tmp_path}/unified rw - cgroup2 cgroup2 rw")
    subtree = groups.find(
        "slipway/portal", mounts=table, own=group_file(tmp_path, "/slipway/portal/serving")
    )
    assert subtree is not None
    assert subtree.is_unified
    group = subtree.create(3, LIMITS, TEAM)
    (made,) = (place / "team3").glob("*-*-*")
    assert group.entrances == [made / "cgroup.procs"]
    assert (made / "memory.max").read_text() == str(64 * MIB)
    assert (made / "pids.max").read_text() == "7"
    assert (place / "team3" / "memory.max").read_text() == str(128 * MIB)
    assert (place / "team3" / "cpu.max").read_text() == "150000 100000"
    assert (place / "team3" / "cgroup.subtree_control").read_text() == "+cpu +memory +pids"


def test_the_counters_of_version_2_are_read(tmp_path: Path) -> None:
    group = groups.ProgramGroup(
        folders=dict.fromkeys(("cpu", "cpuacct", "memory", "pids"), tmp_path), is_unified=True
    )
    assert (group.cpu_seconds(), group.peak(), group.reached(), group.pids()) == (0, 0, None, set())
    (tmp_path / "cpu.stat").write_text("usage_usec 2500000\nuser_usec 1\n")
    (tmp_path / "memory.peak").write_text("4096\n")
    (tmp_path / "cgroup.procs").write_text("")
    assert (group.cpu_seconds(), group.peak()) == (2.5, 4096)
    (tmp_path / "pids.events").write_text("max 1\n")
    assert group.reached() is groups.ReachedLimit.PROCESSES
    (tmp_path / "memory.events").write_text("low 0\noom 1\noom_kill 1\n")
    assert group.reached() is groups.ReachedLimit.MEMORY


def test_version_1_is_found_if_all_four_controllers_exist(tmp_path: Path) -> None:
    names = ("cpu,cpuacct", "memory", "pids")
    for name in names:
        folder(tmp_path / name / "slipway" / "portal")
    lines = [f"{tmp_path}/{name} rw - cgroup cgroup rw,{name}" for name in names]
    own = group_file(tmp_path, "/")
    subtree = groups.find(
        "slipway/portal",
        mounts=mounts(tmp_path, *lines, f"{tmp_path}/unified rw - cgroup2 none rw"),
        own=own,
    )
    assert subtree is not None
    assert not subtree.is_unified
    group = subtree.create(3, LIMITS, TEAM)
    assert len(group.entrances) == 3
    assert (tmp_path / "cpu,cpuacct/slipway/portal/team3/cpu.cfs_quota_us").read_text() == "150000"
    assert groups.find("slipway/portal", mounts=mounts(tmp_path, *lines[:2]), own=own) is None


def test_a_group_from_systemd_is_left_for_a_child_first(tmp_path: Path) -> None:
    place = folder(tmp_path / "unified" / "system.slice" / "slipway-portal.service")
    (place / "cgroup.procs").write_text(f"{os.getpid()}\n")
    table = mounts(tmp_path, f"{tmp_path}/unified rw - cgroup2 cgroup2 rw")
    for own in (
        "/system.slice/slipway-portal.service",
        "/system.slice/slipway-portal.service/serving",
    ):
        subtree = groups.find(
            "slipway/portal", is_delegated=True, mounts=table, own=group_file(tmp_path, own)
        )
        assert subtree is not None
        assert subtree.folders["memory"] == place
    assert (place / "serving" / "cgroup.procs").read_text() == str(os.getpid())
    assert (place / "cgroup.subtree_control").read_text() == "+cpu +memory +pids"


@pytest.mark.parametrize(
    "line", ["/nowhere rw - ext4 /dev/vda rw", "/nowhere rw - cgroup2 cgroup2 rw"]
)
def test_without_groups_none_are_found(tmp_path: Path, line: str) -> None:
    assert (
        groups.find("slipway/portal", mounts=mounts(tmp_path, line), own=group_file(tmp_path, "/"))
        is None
    )
