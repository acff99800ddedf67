"""Volumes in the portal: rules, quota, rollouts, deletion, restoration, jobs and the manifest."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from portal.apps.declared import Declared
from portal.apps.models import App
from portal.apps.volumes import Volume, VolumeState
from portal.errors import Conflict, NotFound, QuotaExceeded, Refused, ValueRefused
from portal.lifecycle.app_actions import delete_app, forget
from portal.quotas.access import team_uses, usage_of_team
from portal.quotas.models import Quota
from portal.releases.models import Rollout, RolloutState
from portal.volumes import actions, copies, jobs
from portal.volumes.access import (
    due_for_removal,
    replaces_all_at_once,
    snapshots_of,
    unattached_volumes_of,
    volume_for,
)
from portal.volumes.adoption import adopt_volumes
from portal.volumes.models import JobKind, JobState, VolumeJob
from runtime.contract.manifest import DeclaredVolume
from runtime.contract.quantities import Bytes
from tests.portal.apps.test_manifest import deployed, said
from tests.portal.apps.test_manifest import made as release_of_build
from tests.portal.conftest import People

MIB = 2**20


def made(people: People, app: App, name: str = "uploads", **changes: Any) -> Volume:
    """Create a volume that the node has created."""
    values = {"name": name, "path": f"/{name}", "size": 64 * MIB, **changes}
    volume = actions.create(people.owner, app=app, **values)
    actions.finish_creation(VolumeJob.objects.get(volume=volume))
    volume.refresh_from_db()
    return volume


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "//",
        "/app",
        "/app/",
        "/usr",
        "/usr/local/share",
        "/etc/app",
        "/proc/self",
        "/tmp/x",
        "/dev/shm",
        "/var",
        "/var/lib",
        "/var/run/app",
        "/home",
        "/data/../etc",
        "/data/./x",
        "/data//x",
        "data",
        "",
        "/da ta",
        "/da\nta",
        "/data\0",
        "/däta",
        "/" + "x" * 300,
        "/..",
        "/...",
    ],
)
def test_a_path_of_the_system_or_with_odd_parts_is_refused(people: People, path: str) -> None:
    with pytest.raises(ValueRefused) as refused:
        actions.create(people.owner, app=people.app(), name="data", path=path, size=64 * MIB)
    assert refused.value.field == "path"
    assert not Volume.objects.exists()


@pytest.mark.parametrize("path", ["/data", "/app/uploads", "/var/lib/app", "/srv/x", "/home/me"])
def test_other_paths_are_allowed(people: People, path: str) -> None:
    assert made(people, people.app(), path=path).path == path


@pytest.mark.parametrize("name", ["", "Data", "-a", "a-", "1a", "a" * 41, "a b", "../a", "a'b"])
def test_an_odd_name_is_refused(people: People, name: str) -> None:
    with pytest.raises(ValueRefused):
        actions.create(people.owner, app=people.app(), name=name, path="/data", size=64 * MIB)


@pytest.mark.parametrize("size", [0, -1, 31 * MIB, 2**60])
def test_a_size_out_of_bounds_is_refused(people: People, size: int) -> None:
    with pytest.raises(ValueRefused):
        actions.create(people.owner, app=people.app(), name="data", path="/data", size=size)


@pytest.mark.parametrize("path", ["/uploads", "/uploads/inner", "/uploads/"])
def test_two_volumes_never_overlap(people: People, path: str) -> None:
    app = people.app()
    made(people, app)
    with pytest.raises(ValueRefused, match="already has a volume at /uploads"):
        made(people, app, "other", path=path)
    with pytest.raises(Refused, match="already has a volume uploads"):
        made(people, app, path="/elsewhere")


def test_volumes_and_snapshots_count_in_the_disk_quota(people: People) -> None:
    app = people.app()
    Quota.objects.filter(team=people.blue).update(disk=200 * MIB)
    volume = made(people, app)
    with pytest.raises(QuotaExceeded):
        made(people, app, "other", size=137 * MIB)
    copies.take_snapshot(people.owner, volume=volume)
    assert usage_of_team(people.blue).disk == 128 * MIB
    line = next(line for line in team_uses() if line.team == people.blue)
    assert line.use.disk == 128 * MIB
    with pytest.raises(QuotaExceeded):
        actions.change(people.owner, volume=volume, size=137 * MIB)
    volume.refresh_from_db()
    assert volume.size == 64 * MIB


def test_a_deleted_volume_counts_until_its_data_is_removed(people: People) -> None:
    volume = made(people, people.app())
    actions.delete(people.owner, volume=volume, typed_name="uploads")
    assert usage_of_team(people.blue).disk == 64 * MIB
    actions.delete_at_once(people.owner, volume=volume, typed_name="uploads")
    assert [row.pk for row in due_for_removal()] == [volume.pk]


def test_a_volume_is_deleted_only_with_its_name_and_kept_for_seven_days(people: People) -> None:
    app = people.app()
    volume = made(people, app)
    with pytest.raises(ValueRefused, match="does not match"):
        actions.delete(people.owner, volume=volume, typed_name="upload")
    actions.delete(people.owner, volume=volume, typed_name="uploads")
    assert not due_for_removal()
    actions.attach(people.owner, volume=volume, app=app)
    volume.refresh_from_db()
    assert (volume.app, volume.deleted_at, volume.path) == (app, None, "/uploads")
    actions.delete(people.owner, volume=volume, typed_name="uploads")
    Volume.objects.update(deleted_at=timezone.now() - timedelta(days=8))
    assert [row.pk for row in due_for_removal()] == [volume.pk]


def test_the_volumes_of_a_deleted_app_can_be_restored(people: People) -> None:
    app, other = people.app(), people.app("other")
    volume = made(people, app)
    delete_app(people.owner, app=app, typed_name="hello")
    forget(App.objects.get(pk=app.pk))
    assert not App.objects.filter(pk=app.pk).exists()
    assert [row.pk for row in unattached_volumes_of(other)] == [volume.pk]
    actions.attach(people.owner, volume=volume, app=other, path="/restored")
    volume.refresh_from_db()
    assert (volume.app, volume.path) == (other, "/restored")


def test_a_volume_moves_between_apps_of_one_team_only(people: People) -> None:
    volume = made(people, people.app())
    other = people.app("other")
    with pytest.raises(Conflict, match="attached to hello"):
        actions.attach(people.owner, volume=volume, app=other)
    actions.detach(people.owner, volume=volume)
    with pytest.raises(Conflict, match="not attached"):
        actions.detach(people.owner, volume=Volume.objects.get(pk=volume.pk))
    made(people, other)
    with pytest.raises(Refused, match="already has a volume uploads"):
        actions.attach(people.owner, volume=volume, app=other)


def test_people_of_other_teams_see_no_volume(people: People) -> None:
    volume = made(people, people.app())
    with pytest.raises(NotFound):
        volume_for(people.stranger, volume.pk)
    with pytest.raises(Refused):
        actions.detach(people.stranger, volume=volume)


def test_a_volume_grows_and_never_shrinks(people: People) -> None:
    volume = made(people, people.app())
    actions.change(people.owner, volume=volume, size=100 * MIB + 1)
    volume.refresh_from_db()
    assert volume.size == 101 * MIB
    assert VolumeJob.objects.filter(kind=JobKind.GROW).count() == 1
    jobs.finish(VolumeJob.objects.get(kind=JobKind.GROW), {})
    with pytest.raises(ValueRefused, match="cannot become smaller"):
        actions.change(people.owner, volume=volume, size=64 * MIB)


def test_changes_that_instances_see_replace_them(people: People) -> None:
    app = people.app()
    deployed(people, app, said())
    volume = made(people, app)
    before = App.objects.get(pk=app.pk).generation
    actions.change(people.owner, volume=volume, overlap=True)
    assert App.objects.get(pk=app.pk).generation == before
    actions.change(people.owner, volume=volume, path="/elsewhere")
    actions.change(people.owner, volume=volume, processes=["web"])
    actions.detach(people.owner, volume=volume)
    assert App.objects.get(pk=app.pk).generation == before + 3


def test_old_instances_stop_first_unless_all_volumes_allow_overlap(people: People) -> None:
    app = people.app()
    assert not replaces_all_at_once(app)
    first = made(people, app, overlap=True)
    assert not replaces_all_at_once(app)
    made(people, app, "other")
    assert replaces_all_at_once(app)
    assert first.overlap


def test_one_change_at_a_time(people: People) -> None:
    volume = made(people, people.app())
    copies.take_snapshot(people.owner, volume=volume)
    with pytest.raises(Conflict, match="busy: snapshot"):
        copies.download(people.owner, volume=volume)
    copies.browse(people.owner, volume=volume, place="a/b")
    job = VolumeJob.objects.get(kind=JobKind.SNAPSHOT)
    copies.finish_snapshot(job, job.arguments["snapshot"], 123)
    assert snapshots_of(volume).get().taken == 123
    copies.download(people.owner, volume=volume)


def test_a_failed_snapshot_leaves_no_row(people: People) -> None:
    volume = made(people, people.app())
    snapshot = copies.take_snapshot(people.owner, volume=volume)
    job = VolumeJob.objects.get(kind=JobKind.SNAPSHOT)
    copies.forget_snapshot(job, snapshot.pk, reason="The disk is full.")
    assert not snapshots_of(volume).exists()
    job.refresh_from_db()
    assert (job.state, job.reason) == (JobState.FAILED, "The disk is full.")


def test_a_failed_creation_is_deleted_without_waiting(people: People) -> None:
    volume = actions.create(
        people.owner, app=people.app(), name="data", path="/data", size=64 * MIB
    )
    actions.fail_creation(VolumeJob.objects.get(), "The disk is full.")
    with pytest.raises(Conflict, match="not ready"):
        copies.download(people.owner, volume=volume)
    actions.delete(people.owner, volume=volume, typed_name="data")
    assert [row.state for row in due_for_removal()] == [VolumeState.REMOVING]


def test_a_restore_needs_the_name(people: People) -> None:
    volume = made(people, people.app())
    snapshot = copies.take_snapshot(people.owner, volume=volume)
    copies.finish_snapshot(VolumeJob.objects.get(kind=JobKind.SNAPSHOT), snapshot.pk, 1)
    with pytest.raises(ValueRefused):
        copies.restore(people.owner, volume=volume, number=snapshot.pk, typed_name="")
    with pytest.raises(NotFound):
        copies.restore(people.owner, volume=volume, number=4711, typed_name="uploads")
    job = copies.restore(people.owner, volume=volume, number=snapshot.pk, typed_name="uploads")
    assert job.arguments == {"snapshot": snapshot.pk}


def test_a_clone_is_detached(people: People) -> None:
    volume = made(people, people.app())
    copy = copies.clone(people.owner, volume=volume, name="copy")
    assert (copy.app, copy.state, copy.size) == (None, VolumeState.CREATING, volume.size)
    with pytest.raises(Conflict, match="not ready"):
        actions.attach(people.owner, volume=copy, app=people.app("other"))


@pytest.mark.parametrize("place", ["..", "a/../b", "a\0b", "x" * 1001])
def test_a_folder_outside_the_volume_is_refused(people: People, place: str) -> None:
    volume = made(people, people.app())
    with pytest.raises(ValueRefused):
        copies.browse(people.owner, volume=volume, place=place)


def test_an_upload_is_queued_with_its_archive(people: People) -> None:
    volume = made(people, people.app())
    file = SimpleUploadedFile("files.zip", b"an archive")
    job = copies.upload(
        people.owner, volume=volume, file=file, filename="files.zip", place="/images/"
    )
    assert (job.arguments["filename"], job.arguments["place"]) == ("files.zip", "images")
    assert jobs.sources_in_use() == {job.arguments["digest"]}


def test_a_manifest_creates_and_enlarges_volumes_and_changes_nothing_else(people: People) -> None:
    app = people.app()
    wished = DeclaredVolume(name="data", path="/data", size=Bytes(64 * MIB), processes=("web",))
    assert adopt_volumes(app, Declared(file="slipway.toml", volumes=(wished,))) == [
        "The volume data is new: 64 MiB at /data."
    ]
    actions.finish_creation(VolumeJob.objects.get())
    changed = DeclaredVolume(name="data", path="/other", size=Bytes(128 * MIB), overlap=True)
    notes = adopt_volumes(app, Declared(file="slipway.toml", volumes=(changed,)))
    volume = Volume.objects.get()
    assert (volume.size, volume.path, volume.processes) == (128 * MIB, "/data", ["web"])
    assert notes[0] == "The volume data grows to 128 MiB."
    assert "keeps its path /data" in notes[1]
    assert len(notes) == 4


def test_a_release_without_room_for_its_volume_fails_before_it_starts(people: People) -> None:
    app = people.app()
    volume = {
        "name": "data",
        "path": "/data",
        "size": 2**40,
        "processes": [],
        "overlap": False,
    }
    rollout = release_of_build(people, app, said(volumes=[volume]))
    assert Rollout.objects.get(pk=rollout.pk).state == RolloutState.FAILED
    assert "quota" in Rollout.objects.get(pk=rollout.pk).reason
    assert not Volume.objects.exists()


def test_the_api_lists_creates_and_deletes(people: People) -> None:
    people.app()
    client = Client(headers={"Authorization": f"Bearer {people.token(people.owner)}"})

    def send(method: str, url: str, **body: object) -> Any:
        return client.generic(
            method, f"/api/v1/{url}", json.dumps(body), content_type="application/json"
        )

    answer = send("POST", "apps/hello/volumes", name="data", path="/data", size=64 * MIB)
    assert (answer.status_code, answer.json()["rollout"]) == (201, "stop-then-start")
    number = answer.json()["number"]
    actions.finish_creation(VolumeJob.objects.get())
    assert send("GET", f"volumes/{number}").json()["state"] == "ready"
    assert send("PATCH", f"volumes/{number}", overlap=True).json()["rollout"] == "overlap"
    assert send("DELETE", f"volumes/{number}").status_code == 400
    assert send("DELETE", f"volumes/{number}?confirm=data").status_code == 204
    assert send("GET", "apps/hello/volumes").json() == []
    assert send("GET", "volumes").json()[0]["deleted_at"] is not None
    answer = send("POST", f"volumes/{number}/attach", app="hello")
    assert answer.json()["app"] == "hello"


def test_names_of_files_are_escaped_on_the_page(people: People) -> None:
    volume = made(people, people.app())
    job = copies.browse(people.owner, volume=volume)
    evil = "<script>alert(1)</script>"
    file = {"name": evil, "kind": "link", "size": 0, "modified": 10**18, "link": "/etc/<b>"}
    folder = {"name": "in side", "kind": "folder", "size": 0, "modified": 0, "link": ""}
    jobs.begin(job)
    jobs.finish(job, {"files": [file, folder], "whole": False})
    client = Client()
    client.force_login(people.owner)
    page = client.get(f"/volumes/{volume.pk}").content.decode()
    assert evil not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "/etc/&lt;b&gt;" in page
    assert "The folder has more names" in page
    assert 'value="in side"' in page
