"""Tests of volumes on a whole platform: files survive deploys, kills, and `make down`."""

import os
import signal
import time
from pathlib import Path

import httpx
import pytest

from tests.system.conftest import TEAM
from tests.system.support import archives
from tests.system.support.load import Load
from tests.system.support.waiting import until

APP = "keeper"
EXAMPLE = "flask-files"


@pytest.fixture(scope="module")
def keeper(box, admin) -> str:
    admin.create_app(TEAM, APP)
    admin.deployed(APP, archives.example(EXAMPLE), within=240)
    put(box, "first.txt", b"kept")
    return APP


def put(box, name: str, data: bytes) -> httpx.Response:
    return httpx.post(
        f"{box.url}/", headers={"Host": box.host(APP)}, files={"file": (name, data)}, timeout=60
    )


def is_kept(box) -> bool:
    try:
        answer = box.ask(APP, "/files/first.txt")
    except httpx.TransportError:  # the platform is starting or stopping
        return False
    return answer.status_code == 200 and answer.text == "kept"


def test_files_survive_a_deploy_and_a_rollback_without_a_failed_request(keeper, box, admin):
    with Load(box.port, box.host(APP)) as load:
        admin.deployed(APP, archives.example(EXAMPLE, {"note.txt": "second"}), within=240)
        admin.roll_back(APP, 1)
        admin.settled(APP, 3)
    assert load.tally.failed == 0, load.tally.how
    assert is_kept(box)


def test_files_are_seen_by_all_instances_after_scaling(keeper, box, admin):
    admin.scale(APP, 2)
    until(
        lambda: [each["state"] for each in admin.instances(APP)] == ["live", "live"],
        within=60,
        what="two instances serve",
    )
    put(box, "second.txt", b"shared")
    for _ in range(6):
        assert box.ask(APP, "/files/second.txt").text == "shared"
    admin.scale(APP, 1)
    until(
        lambda: [each["state"] for each in admin.instances(APP)] == ["live"],
        within=60,
        what="one instance serves",
    )


def test_files_survive_the_kill_of_the_instance(keeper, box):
    before = pids_of(box)
    assert before, box.instance_pids()
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    until(
        lambda: pids_of(box) and not pids_of(box) & before and is_kept(box),
        within=60,
        what="a new instance serves the files",
    )


def pids_of(box) -> set[int]:
    return {pid for name, pid in box.instance_pids().items() if f"/{APP}-" in name}


def test_files_survive_the_kill_of_the_workers_during_a_snapshot(keeper, box, admin):
    number = admin.get(f"/apps/{APP}/volumes")[0]["number"]
    answer = admin.api.post(f"/volumes/{number}/snapshots", json={"note": "before the kill"})
    assert answer.status_code == 202, answer.text
    box.kill("node worker")
    box.kill("supervisor")
    until(
        lambda: admin.get(f"/volumes/{number}/snapshots")[0]["bytes"],
        within=120,
        what="the snapshot is complete",
    )
    assert is_kept(box)
    put(box, "third.txt", b"written after the snapshot")
    assert box.ask(APP, "/files/third.txt").text == "written after the snapshot"


def test_a_full_volume_fails_one_upload_and_no_request(keeper, box, admin):
    with Load(box.port, box.host(APP)) as load:
        answer = put(box, "big.bin", os.urandom(80 * 2**20))
        assert answer.status_code == 507, answer.text[:200]
    assert load.tally.failed == 0, load.tally.how
    assert is_kept(box)
    assert "No space" not in admin.log(APP), "the app handles it"


def test_a_snapshot_is_restored(keeper, box, admin):
    number = admin.get(f"/apps/{APP}/volumes")[0]["number"]
    snapshot = admin.get(f"/volumes/{number}/snapshots")[0]["number"]
    path = f"/volumes/{number}/snapshots/{snapshot}/restore"
    assert admin.api.post(path, params={"confirm": "files"}).status_code == 202
    until(
        lambda: is_kept(box) and box.ask(APP, "/files/third.txt").status_code == 404,
        within=90,
        what="the files of the snapshot are served",
    )


def test_files_survive_down_and_up(keeper, box):
    box.down()
    mounts = Path("/proc/self/mountinfo").read_text()
    assert str(box.config.volumes) not in mounts
    box.start()
    until(lambda: is_kept(box), within=120, what="the app serves its files again")


def test_a_deleted_app_leaves_a_volume_that_can_be_removed(keeper, box, admin):
    number = admin.get(f"/apps/{APP}/volumes")[0]["number"]
    folder = box.config.volumes / str(number)
    admin.delete_app(APP)
    until(
        lambda: admin.api.get(f"/apps/{APP}").status_code == 404,
        within=60,
        what="the app is deleted",
    )
    time.sleep(1)
    assert (folder / "disk.ext4").exists()
    assert admin.get(f"/volumes/{number}")["deleted_at"]
    answer = admin.api.delete(f"/volumes/{number}/data", params={"confirm": "files"})
    assert answer.status_code == 204, answer.text
    until(lambda: not folder.exists(), within=90, what="the data is gone", every=0.5)
