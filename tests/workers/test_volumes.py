"""Volumes end to end on a real node: rows, jobs, instances, rollouts, and what survives."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from portal.apps.models import App
from portal.apps.volumes import Snapshot, Volume, VolumeState
from portal.deploys import actions as builds
from portal.lifecycle import app_actions
from portal.releases.actions import rollback
from portal.releases.models import Rollout, RolloutState
from portal.volumes import actions, copies, jobs
from portal.volumes.models import JobKind, JobState, VolumeJob
from runtime.builds.requests import BuiltImage
from runtime.contract.manifest import AppFile, DeclaredVolume
from runtime.contract.quantities import Bytes
from workers.bridge import translate
from workers.tasks import volumes
from workers.tasks.converge import converge
from workers.tasks.rollout import roll_out

MIB = 2**20
DECLARED = DeclaredVolume(name="data", path="/data", size=Bytes(64 * MIB))


def python(plant: Any, app: App, *lines: str) -> None:
    """Run Python code in the app's instance."""
    found = plant.engine.containers.execute(
        instance_of(plant, app).id, ("python3", "-c", "\n".join(lines)), timeout=60
    )
    assert found.code == 0, found.output


@pytest.fixture
def live(plant: Any) -> Iterator[tuple[App, Volume]]:
    """Yield a live app with a volume that its manifest declares. Remove all volumes afterwards."""
    app = plant.app()
    assert deploy(plant, app).state == RolloutState.LIVE
    run_jobs()
    yield app, Volume.objects.get(app=app)
    App.objects.update(deleted_at=timezone.now())
    for number in App.objects.values_list("pk", flat=True):
        converge(number)
    for folder in list(plant.config.volumes.iterdir()):
        plant.engine.volumes.remove(int(folder.name))


def deploy(plant: Any, app: App, *, mode: str = "ok") -> Rollout:
    build = plant.submit(app)
    builds.mark_building(build)
    file = AppFile(file="slipway.toml", volumes=(DECLARED,))
    built = BuiltImage(digest=plant.builder.digest, processes={}, app_file=file)
    processes = {"web": f"python3 /srv/app.py v{build.pk} {mode}"}
    rollout = builds.succeed(build, built.digest, processes, translate.app_file(built))
    assert rollout is not None
    roll_out(rollout.pk)
    converge(app.pk)
    rollout.refresh_from_db()
    app.refresh_from_db()
    return rollout


def run_jobs() -> None:
    """Run the queued jobs, as workers do."""
    for number in list(
        VolumeJob.objects.filter(state=JobState.QUEUED).values_list("pk", flat=True)
    ):
        volumes.volume_job(number)


def finished(job: VolumeJob) -> VolumeJob:
    run_jobs()
    job.refresh_from_db()
    assert job.state == JobState.DONE, job.reason
    return job


def instance_of(plant: Any, app: App) -> Any:
    converge(app.pk)
    return next(each for each in plant.engine.instances() if each.spec.app == app.name)


def shell(plant: Any, app: App, line: str) -> str:
    """Run a line in the app's instance, and return its output."""
    found = plant.engine.containers.execute(
        instance_of(plant, app).id, ("/bin/sh", "-c", line), timeout=30
    )
    return str(found.output).strip()


def test_files_survive_a_deploy_a_rollback_a_restart_and_a_crash(plant, live):
    app, volume = live
    assert volume.state == VolumeState.READY
    shell(plant, app, "echo kept > /data/file")
    first = instance_of(plant, app).id
    assert deploy(plant, app).state == RolloutState.LIVE
    assert instance_of(plant, app).id != first
    assert shell(plant, app, "cat /data/file") == "kept"
    roll_out(rollback(plant.crew.owner, app=app, number=1).pk)
    converge(app.pk)
    assert shell(plant, app, "cat /data/file") == "kept"
    app_actions.restart(plant.crew.owner, app=app)
    assert shell(plant, app, "cat /data/file") == "kept"
    before = instance_of(plant, app)
    os.kill(before.pid, 9)
    plant.until(lambda: instance_of(plant, app).pid not in (None, before.pid))
    assert shell(plant, app, "cat /data/file") == "kept"


def test_files_survive_the_end_of_the_node(plant, live):
    app, volume = live
    shell(plant, app, "echo kept > /data/file")
    plant.engine.tear_down()
    assert not plant.engine.containers._kernel.mounts_below(plant.config.volumes)
    plant.engine.prepare()
    assert shell(plant, app, "cat /data/file") == "kept"
    assert volume.pk in volumes.used_volumes(plant.engine)


def test_old_instances_stop_before_new_ones_start(plant, live):
    app, _ = live
    assert translate.desired_app(app).strategy.kind == "recreate"
    Volume.objects.update(overlap=True)
    assert translate.desired_app(app).strategy.kind == "rolling"


def test_a_failed_release_leaves_the_old_one_with_its_files(plant, live):
    app, _ = live
    shell(plant, app, "echo kept > /data/file")
    assert deploy(plant, app, mode="exit").state == RolloutState.FAILED
    assert shell(plant, app, "cat /data/file") == "kept"


def test_a_volume_grows_and_keeps_its_files(plant, live):
    app, volume = live
    shell(plant, app, "echo kept > /data/file")
    actions.change(plant.crew.owner, volume=volume, size=128 * MIB)
    finished(VolumeJob.objects.get(kind=JobKind.GROW))
    blocks = int(shell(plant, app, "stat -f -c %b /data"))
    assert blocks * 4096 > 100 * MIB
    assert shell(plant, app, "cat /data/file") == "kept"


def test_a_snapshot_is_restored_into_new_instances(plant, live):
    app, volume = live
    shell(plant, app, "echo before > /data/file")
    snapshot = copies.take_snapshot(plant.crew.owner, volume=volume)
    run_jobs()
    assert Snapshot.objects.get(pk=snapshot.pk).taken
    shell(plant, app, "echo after > /data/file")
    finished(copies.restore(plant.crew.owner, volume=volume, number=snapshot.pk, typed_name="data"))
    assert shell(plant, app, "cat /data/file") == "before"
    copies.delete_snapshot(plant.crew.owner, volume=volume, number=snapshot.pk)
    run_jobs()
    assert not Snapshot.objects.exists()


def test_a_clone_is_attached_to_another_app(plant, live):
    app, volume = live
    shell(plant, app, "echo same > /data/file")
    copy = copies.clone(plant.crew.owner, volume=volume, name="copy")
    run_jobs()
    other = plant.app()
    deploy_without_volume(plant, other)
    actions.attach(plant.crew.owner, volume=copy, app=other)
    assert shell(plant, other, "cat /data/file") == "same"
    shell(plant, other, "echo other > /data/file")
    assert shell(plant, app, "cat /data/file") == "same"


def deploy_without_volume(plant: Any, app: App) -> None:
    roll_out(plant.release(app).pk)
    converge(app.pk)


def test_a_detached_volume_is_gone_from_new_instances(plant, live):
    app, volume = live
    actions.detach(plant.crew.owner, volume=volume)
    assert shell(plant, app, "ls /data 2>&1 || echo none").endswith("none")
    volumes.tidy_up(plant.engine)
    assert not plant.engine.containers._kernel.mounts_below(plant.config.volumes)


def test_files_are_listed_packed_and_unpacked(plant, live):
    app, volume = live
    python(
        plant,
        app,
        "import os; os.mkdir('/data/in'); open('/data/in/file', 'w').write('x')",
        "os.symlink('/etc/passwd', '/data/link'); os.link('/data/in/file', '/data/hard')",
        "os.mkfifo('/data/pipe'); open(b'/data/\\xff', 'w')",
    )
    listed = finished(copies.browse(plant.crew.owner, volume=volume))
    names = {each["name"]: each for each in listed.result["files"]}
    assert names["link"]["kind"] == "link"
    assert names["link"]["link"] == "/etc/passwd"
    assert names["pipe"]["kind"] == "other"
    assert "\\udcff" in names
    job = finished(copies.download(plant.crew.owner, volume=volume))
    assert (job.result["files"], job.result["left_out"]) == (2, 1)
    with tarfile.open(jobs.archive_of(job)) as archive:
        members = {member.name: member for member in archive}
    assert members["link"].issym()
    assert members["link"].linkname == "/etc/passwd"
    assert members["in/file"].islnk() or members["hard"].islnk()
    assert members["in"].uid == 1000
    data = jobs.archive_of(job).read_bytes()
    python(
        plant,
        app,
        "import os; os.remove('/data/in/file'); os.rmdir('/data/in'); os.remove('/data/link')",
        "os.remove('/data/hard'); open('/data/other', 'w').write('mine')",
    )
    upload(plant, volume, data, "files.tar.gz")
    assert shell(plant, app, "cat /data/in/file /data/other") == "xmine"
    python(plant, app, "import os; assert os.stat('/data/in').st_uid == 1000")


def upload(plant: Any, volume: Volume, data: bytes, name: str, place: str = "") -> VolumeJob:
    file = SimpleUploadedFile(name, data)
    job = copies.upload(plant.crew.owner, volume=volume, file=file, filename=name, place=place)
    return finished(job)


def zipped(**files: bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return target.getvalue()


def test_a_link_in_a_volume_does_not_redirect_an_upload(plant, live):
    app, volume = live
    links = "os.symlink('/etc', '/data/images'); os.symlink('/etc/hostname', '/data/name')"
    python(plant, app, "import os", links)
    file = SimpleUploadedFile("a.zip", zipped(evil=b"x"))
    job = copies.upload(
        plant.crew.owner, volume=volume, file=file, filename="a.zip", place="images"
    )
    run_jobs()
    job.refresh_from_db()
    assert job.state == JobState.FAILED
    assert not Path("/etc/evil").exists()
    upload(plant, volume, zipped(name=b"replaced"), "b.zip")
    assert shell(plant, app, "cat /data/name; test -L /data/name || echo _file") == "replaced_file"


def test_an_upload_that_fills_the_volume_says_so(plant, live):
    app, volume = live
    file = SimpleUploadedFile("a.zip", zipped(big=os.urandom(63 * MIB)))
    job = copies.upload(plant.crew.owner, volume=volume, file=file, filename="a.zip")
    run_jobs()
    job.refresh_from_db()
    assert job.state == JobState.FAILED
    assert "became full" in job.reason
    assert shell(plant, app, "echo ok") == "ok"


def test_a_folder_of_many_names_is_listed_in_part(plant, live):
    app, volume = live
    many = "[open(f'/data/many/{number}', 'w').close() for number in range(3000)]"
    python(plant, app, "import os; os.mkdir('/data/many')", many)
    listed = finished(copies.browse(plant.crew.owner, volume=volume, place="many"))
    assert (len(listed.result["files"]), listed.result["whole"]) == (1000, False)


def test_a_deleted_app_leaves_its_volume_until_it_is_removed(plant, live):
    app, volume = live
    shell(plant, app, "echo kept > /data/file")
    name = app.name
    app_actions.delete_app(plant.crew.owner, app=app, typed_name=name)
    converge(app.pk)
    assert not App.objects.filter(pk=app.pk).exists()
    volumes.remove_volumes()
    assert Volume.objects.filter(pk=volume.pk).exists()
    other = plant.app()
    deploy_without_volume(plant, other)
    actions.attach(plant.crew.owner, volume=volume, app=other)
    assert shell(plant, other, "cat /data/file") == "kept"
    volume.refresh_from_db()
    actions.delete(plant.crew.owner, volume=volume, typed_name="data")
    actions.delete_at_once(plant.crew.owner, volume=volume, typed_name="data")
    converge(other.pk)
    volumes.remove_volumes()
    assert not Volume.objects.filter(pk=volume.pk).exists()
    assert list(plant.config.volumes.iterdir()) == []


def test_the_job_of_a_killed_worker_is_sent_again(plant, live, broker):
    _, volume = live
    copies.take_snapshot(plant.crew.owner, volume=volume)
    job = VolumeJob.objects.get(kind=JobKind.SNAPSHOT)
    jobs.begin(job)
    assert list(volumes.jobs_without_worker(plant.engine, [])) == [job.pk]
    volumes.volume_job(job.pk)
    job.refresh_from_db()
    assert job.state == JobState.DONE


def test_the_use_of_a_volume_is_recorded(plant, live):
    app, volume = live
    shell(plant, app, "dd if=/dev/zero of=/data/big bs=1M count=10; sync")
    volumes.record_use(plant.engine)
    volume.refresh_from_db()
    assert volume.used > 10 * MIB
