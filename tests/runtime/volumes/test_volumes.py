"""Tests of volumes on a real node: limits, mounts, growth, snapshots, and crashes in between."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from runtime import journal
from runtime.config import NodeConfig
from runtime.contract.quantities import Bytes
from runtime.errors import LaunchFailed, VolumeFailed, VolumeMissing
from runtime.process import run
from runtime.volumes import disk
from runtime.volumes.choice import can_grow_while_mounted, describe
from runtime.volumes.volumes import Volumes
from tests.runtime.volumes.conftest import VOLUME

MIB = 2**20
LARGER = replace(VOLUME, size=Bytes(128 * MIB))


def sh(line: str) -> tuple[str, str, str]:
    return "sh", "-c", line


def test_an_instance_writes_to_its_volume_and_the_next_one_reads_it(volumes, run_with):
    volumes.create(VOLUME)
    ended, _ = run_with(*sh("echo kept > /data/file"))
    assert ended.code == 0
    _, lines = run_with(*sh("cat /data/file; stat -c '%u %g' /data/file /data"))
    assert lines == ["kept", "1000 1000", "1000 1000"]


def test_the_files_have_host_ids_of_the_team(volumes, run_with):
    volumes.create(VOLUME)
    run_with(*sh("echo x > /data/file"))
    status = (volumes.mount(VOLUME) / "file").stat()
    assert (status.st_uid, status.st_gid) == (1_000_000 + 65_536 + 1000,) * 2


def test_a_full_volume_returns_no_space_to_the_app_only(volumes, run_with):
    volumes.create(VOLUME)
    ended, lines = run_with(
        *sh("dd if=/dev/zero of=/data/big bs=1M count=100 2>&1; rm /data/big; echo $?")
    )
    assert ended.code == 0
    assert any("No space left on device" in line for line in lines)
    assert lines[-1] == "0"


def test_the_number_of_files_is_limited(volumes, run_with):
    volumes.create(VOLUME)
    _, lines = run_with(
        "python3",
        "-c",
        "import errno, os\n"
        "try:\n"
        "    for number in range(1_000_000):\n"
        "        os.close(os.open(f'/data/{number}', os.O_CREAT | os.O_WRONLY))\n"
        "except OSError as error:\n"
        "    print(errno.errorcode[error.errno], number)",
    )
    word, number = lines[0].split()
    assert word == "ENOSPC"
    assert int(number) < 10_000
    assert volumes.use(VOLUME.number).files == volumes.use(VOLUME.number).most_files


def test_devices_and_setuid_programs_have_no_effect(volumes, run_with):
    volumes.create(VOLUME)
    data = volumes.mount(VOLUME)
    os.mknod(data / "disk", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    (data / "disk").chmod(0o666)
    _, lines = run_with(*sh("cat /data/disk; grep ' /data ' /proc/self/mountinfo"))
    assert "Permission denied" in lines[0]
    options = lines[1].split()[5].split(",")
    assert {"nosuid", "nodev", "rw"} <= set(options)
    assert str(volumes._config.state) not in lines[1]


def test_a_missing_volume_is_never_replaced_by_an_empty_one(volumes):
    with pytest.raises(VolumeMissing, match="does not have the data of volume 7"):
        volumes.mount(VOLUME)
    volumes.create(VOLUME)
    volumes._folder(7).disk.unlink()
    with pytest.raises(VolumeMissing):
        volumes.create(VOLUME)


def test_a_volume_of_another_team_is_refused(volumes):
    volumes.create(VOLUME)
    with pytest.raises(VolumeFailed, match="does not belong to team 2"):
        volumes.mount(replace(VOLUME, team=2))


def test_a_creation_that_was_killed_is_repeated(volumes):
    folder = volumes._folder(7)
    folder.path.mkdir()
    folder.disk.write_bytes(b"half")
    volumes.create(VOLUME)
    assert volumes.mount(VOLUME).is_dir()


def test_a_volume_grows_without_losing_files(volumes, run_with):
    volumes.create(VOLUME)
    run_with(*sh("echo kept > /data/file"))
    before = volumes.use(7).total
    if not volumes.grow(LARGER):  # this root may not resize mounted file systems
        volumes.mount(LARGER)
    assert volumes.use(7).total > before * 1.8
    assert (volumes.mount(LARGER) / "file").read_text() == "kept\n"
    assert volumes.grow(LARGER)  # a repeated call has nothing to do


def test_a_growth_that_was_killed_is_continued_at_the_next_mount(volumes):
    volumes.create(VOLUME)
    disk.extend_file(volumes._folder(7).disk, LARGER.size)
    volumes.mount(LARGER)
    if can_grow_while_mounted():
        volumes.grow(LARGER)
    assert volumes.use(7).total > 100 * MIB


def test_a_second_mount_of_a_used_disk_shares_its_device(volumes):
    """Two devices for one file would damage the file system."""
    volumes.create(VOLUME)
    with (volumes.mount(VOLUME) / "open").open("w") as file:
        volumes._unmount(volumes._folder(7))
        again = volumes.mount(VOLUME)
        file.write("seen")
        file.flush()
        assert (again / "open").read_text() == "seen"
        devices = run(["losetup", "-j", volumes._folder(7).disk]).stdout.splitlines()
        assert len(devices) == 1


def test_a_snapshot_is_restored(volumes, run_with):
    volumes.create(VOLUME)
    run_with(*sh("echo before > /data/file"))
    assert volumes.take_snapshot(VOLUME, 1) > 0
    run_with(*sh("echo after > /data/file"))
    volumes.restore(VOLUME, 1)
    assert run_with(*sh("cat /data/file"))[1] == ["before"]
    volumes.remove_snapshot(7, 1)
    with pytest.raises(VolumeMissing, match="snapshot 1"):
        volumes.restore(VOLUME, 1)


def test_a_clone_has_the_content_and_changes_apart(volumes):
    volumes.create(VOLUME)
    (volumes.mount(VOLUME) / "file").write_text("same")
    clone = replace(LARGER, number=8)
    volumes.clone(clone, source=VOLUME)
    (volumes.mount(clone) / "file").write_text("other")
    assert (volumes.mount(VOLUME) / "file").read_text() == "same"
    with pytest.raises(VolumeFailed, match="cannot be cloned"):
        volumes.clone(replace(clone, number=9, team=2), source=VOLUME)


def test_a_copy_is_mounted_read_only_and_leaves_nothing(volumes):
    volumes.create(VOLUME)
    (volumes.mount(VOLUME) / "file").write_text("same")
    with volumes.opened_copy(VOLUME) as copy:
        assert (copy / "file").read_text() == "same"
        with pytest.raises(OSError, match="Read-only"):
            (copy / "new").touch()
        # instances start and write while an archive is made of the copy
        (volumes.mount(VOLUME) / "file").write_text("other")
        assert (copy / "file").read_text() == "same"
    assert sorted(path.name for path in volumes._folder(7).path.iterdir()) == [
        "disk.ext4",
        "mount",
        "volume.json",
    ]


def test_a_volume_that_a_killed_process_left_frozen_is_thawed(volumes):
    volumes.create(VOLUME)
    data = volumes.mount(VOLUME)
    folder = volumes._folder(7)
    folder.frozen.touch()
    volumes._kernel.freeze_disk(folder.mount, frozen=True)
    assert volumes.thaw_forgotten() == ["thawed volume 7, which a killed process had frozen"]
    (data / "file").write_text("written")
    assert volumes.thaw_forgotten() == []


def test_a_volume_in_use_by_a_copy_is_not_thawed(node: NodeConfig, volumes: Volumes):
    volumes.create(VOLUME)
    volumes._folder(7).frozen.touch()
    with journal.lock(node.locks / "volume-7"):
        assert volumes.thaw_forgotten() == []
    assert volumes.thaw_forgotten() != []


def test_only_unused_volumes_are_unmounted(volumes):
    volumes.create(VOLUME)
    volumes.mount(VOLUME)
    assert volumes.unmount_unused({7}) == []
    assert volumes.unmount_unused(set()) == ["unmounted volume 7, which no instance uses"]


def test_a_removed_volume_leaves_nothing(volumes, node):
    volumes.create(VOLUME)
    volumes.mount(VOLUME)
    volumes.take_snapshot(VOLUME, 1)
    volumes.remove(7)
    volumes.remove(7)
    assert list(node.volumes.iterdir()) == []
    assert str(node.volumes) not in Path("/proc/self/mountinfo").read_text()


@pytest.mark.parametrize(
    ("image", "path", "why"),
    [
        ("ln -s /etc {}/data", "/data", "/data is a link"),
        ("mkdir {}/srv; ln -s ../proc {}/srv/data", "/srv/data", "/srv/data is a link"),
        ("mkdir {}/srv; ln -s /proc {}/srv/up", "/srv/up/self", "/srv/up is a link"),
        ("touch {}/data", "/data", "/data is a file"),
        ("mkdir {}/data; touch {}/data/main.py", "/data", "such as 'main.py'"),
    ],
)
def test_a_volume_hides_nothing_of_the_image(place, layers, volumes, run_with, image, path, why):
    layer = place / f"layer-{os.urandom(4).hex()}"
    layer.mkdir()
    run(["sh", "-c", image.replace("{}", str(layer))])
    volumes.create(VOLUME)
    with pytest.raises(LaunchFailed, match=why):
        run_with("true", at=path, layers=(layer, *layers))


def test_a_placeholder_file_does_not_count(place, layers, volumes, run_with):
    layer = place / f"layer-{os.urandom(4).hex()}"
    (layer / "data").mkdir(parents=True)
    (layer / "data" / ".gitkeep").touch()
    volumes.create(VOLUME)
    ended, lines = run_with(*sh("ls -A /data"), layers=(layer, *layers))
    assert (ended.code, lines) == (0, [])


def test_the_doctor_says_how_volumes_are_limited_and_grow():
    assert "full copies, because ext4" in describe("ext4", grows=True)
    assert "while instances use them" in describe("ext4", grows=True)
    assert "share their data" in describe("xfs", grows=False)
    assert "lacks CAP_SYS_RESOURCE" in describe("xfs", grows=False)
