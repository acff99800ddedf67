"""Tests of image jobs on a real node.

They show an instance's changes, commit an image that runs, and save archives that other tools read.
"""

from __future__ import annotations

import json
import subprocess
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from portal.apps.models import Instance
from portal.images import actions, jobs
from portal.images.access import named, view_of
from portal.images.models import Image, ImageJob, ImageTag, JobState
from portal.releases.models import Rollout
from runtime.images.manifest import ImageConfig
from tests.workers.test_tasks import deploy, queued
from workers.tasks import garbage_collection, images, upkeep
from workers.tasks.images import image_job
from workers.tasks.rollout import roll_out

WRITES = "mkdir -p /srv/data && echo kept > /srv/data/note; exec sleep 1000"


@pytest.mark.slow
def test_an_instance_is_inspected_committed_deployed_and_saved(plant, broker, capsys):
    app, store = plant.app(), plant.engine.images
    # A user who may write to /srv.
    as_root = ImageConfig(
        environment={"PATH": "/usr/bin:/bin"}, working_directory="/tmp", user="0:0"
    )
    plant.builder.digest = store.write_image(store.layers_of(plant.builder.digest), as_root)
    rollout = deploy(plant, app, worker=WRITES)
    worker = Instance.objects.get(app=app, process="worker")
    owner = plant.crew.owner
    plant.until(lambda: len(plant.engine.written(worker.pk).changes) > 1)

    look = actions.look_at_instance(owner, instance=worker)
    assert ("slipway.image_job", [look.pk]) in queued(broker, "node")
    image_job(look.pk)
    look.refresh_from_db()
    assert look.state == JobState.DONE, look.reason
    assert {path for _, path, _ in look.result["changes"]} >= {"/srv/data", "/srv/data/note"}
    called = f"worker.{worker.pk.rsplit('-', 1)[1]}"
    call_command("image", "diff", called)
    assert "A /srv/data/note" in capsys.readouterr().out
    call_command("image", "commit", called, "kept/by-hand:1", "--json")
    by_hand = json.loads(capsys.readouterr().out)
    assert store.find("kept/by-hand:1") == by_hand["digest"]
    assert store.layers_of(by_hand["digest"])[-1].digest == by_hand["layer"]
    call_command("image", "rm", "kept/by-hand:1")
    with pytest.raises(CommandError, match="There is no instance nobody"):
        call_command("image", "diff", "nobody")

    keep = actions.commit(owner, instance=worker, tag="with-note", deploy=True)
    image_job(keep.pk)
    keep.refresh_from_db()
    assert keep.state == JobState.DONE, keep.reason
    app.refresh_from_db()
    assert keep.result["release"] == 2
    view = view_of(app, named(app, "with-note").digest)
    assert view is not None
    assert view.layers[0].name == f"Commit of {called} of v1"
    roll_out(Rollout.objects.get(release__app=app, release__number=2).pk)
    assert plant.get(app).text.startswith("v")
    live = named(app, "v2").digest
    note = plant.engine.images.image(live).layers[0] / "srv/data/note"
    assert (note.read_text(), note.stat().st_uid) == ("kept\n", 0)
    assert live in garbage_collection.kept_images().images

    compare = actions.compare(owner, before=named(app, "v1"), after=named(app, "v2"))
    image_job(compare.pk)
    compare.refresh_from_db()
    assert ["A", "/srv/data/note", 5] in compare.result["changes"]
    assert compare.result["packages"] == []

    for form in actions.FORMATS:
        save = actions.save(owner, image=named(app, "v2"), form=form)
        image_job(save.pk)
        save.refresh_from_db()
        assert save.state == JobState.DONE, save.reason
        archive = jobs.archive_of(save)
        assert oct(archive.stat().st_mode & 0o777) == "0o640"
        read = subprocess.run(
            ["skopeo", "inspect", "--config", f"{form}:{archive}"],
            check=True,
            capture_output=True,
            text=True,
        )
        assert json.loads(read.stdout)["history"][-1]["created_by"] == f"Commit of {called} of v1"
    assert rollout.release.number == 1

    Image.objects.all().delete()
    ImageJob.objects.update(finished_at=timezone.now() - timedelta(days=2))
    upkeep.tidy_up()
    assert Image.objects.filter(digest=live).exists(), "upkeep creates the rows that are missing"
    assert not ImageJob.objects.exists()
    assert [*plant.config.downloads.iterdir()] == []
    assert [*plant.config.locks.glob("image-job-*")] == []


def test_a_failed_job_has_a_reason_and_a_lost_job_is_resumed(plant, broker):
    app = plant.app()
    plant.release(app)
    gone = Instance.objects.create(
        id="gone-web-1", app=app, process="web", release_number=1, node="here", state="live"
    )
    job = actions.commit(plant.crew.owner, instance=gone, tag="never", deploy=False)
    assert actions.begin(job)
    queued(broker, "node")
    broker.delete("node")
    assert list(images.jobs_without_worker(plant.engine, [])) == [job.pk], "its worker has ended"
    upkeep.send_lost_tasks_again()
    assert ("slipway.image_job", [job.pk]) in queued(broker, "node")
    image_job(job.pk)
    job.refresh_from_db()
    assert (job.state, job.reason) == (
        JobState.FAILED,
        "There is no instance gone-web-1. List the running instances of the app.",
    )
    image_job(job.pk)
    assert not ImageTag.objects.exists()
