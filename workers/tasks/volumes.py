"""Jobs on volumes, and the removal of deleted ones."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from portal.apps.volumes import Volume, VolumeState
from portal.volumes import actions, copies, jobs
from portal.volumes.access import due_for_removal
from portal.volumes.models import JobKind, JobState, VolumeJob
from runtime import journal
from runtime.converge.mounting import VOLUMES_LABEL
from runtime.engines.node import NodeEngine
from runtime.errors import RuntimeFailure, VolumeFailed
from runtime.volumes.contents import MOST_LISTED
from runtime.volumes.transfers import Transfers
from workers import node
from workers.bridge.volumes import volume_of
from workers.celery import app as celery
from workers.tasks.images import group_of

log = logging.getLogger(__name__)
_INTERNAL = (
    "This failed because of an internal error, not because of the app. Ask the administrator of"
    " this platform."
)


@celery.task(name="slipway.volume_job")
def volume_job(job_id: int) -> None:
    """Run one job, unless another worker runs it or it is over."""
    engine = node.engine()
    job = VolumeJob.objects.select_related("volume__team", "volume__app").filter(pk=job_id).first()
    if job is None:
        return
    with journal.lock(lock_of(job_id, engine), blocking=False) as held:
        if held and jobs.begin(job):
            _run(job, engine)


@celery.task(name="slipway.remove_volumes")
def remove_volumes() -> None:
    """Delete the data of volumes that were removed, or deleted some days ago."""
    engine = node.engine()
    in_use = used_volumes(engine)
    for volume in due_for_removal():
        if volume.pk in in_use:  # its last instance is being stopped
            continue
        try:
            engine.volumes.remove(volume.pk)
        except (RuntimeFailure, OSError) as failure:
            log.warning("Could not remove volume %d; it is tried again: %s", volume.pk, failure)
            continue
        Volume.objects.filter(pk=volume.pk).delete()


def lock_of(job_id: int, engine: NodeEngine) -> Path:
    """Return the path of the lock that a worker holds while it runs this job."""
    return engine.config.locks / f"volume-job-{job_id}"


def jobs_without_worker(engine: NodeEngine, late: Iterable[int]) -> Iterator[int]:
    """Yield jobs that no worker runs: `late` ones that wait, and those whose worker is gone."""
    yield from late
    for number in VolumeJob.objects.filter(state=JobState.WORKING).values_list("pk", flat=True):
        with journal.lock(lock_of(number, engine), blocking=False) as free:
            if free:
                yield number


def used_volumes(engine: NodeEngine) -> set[int]:
    """Return the numbers of the volumes that containers have."""
    return {
        int(number)
        for container in engine.containers.list()
        for number in container.spec.labels.get(VOLUMES_LABEL, "").split()
    }


def tidy_up(engine: NodeEngine) -> None:
    """Unmount unused volumes, record the use of the others, and delete old jobs and locks."""
    jobs.forget_old()
    under_way = {
        f"volume-job-{number}"
        for number in VolumeJob.objects.filter(finished_at=None).values_list("pk", flat=True)
    }
    for path in engine.config.locks.glob("volume-job-*"):
        if path.name not in under_way:
            path.unlink(missing_ok=True)
    for line in engine.volumes.unmount_unused(used_volumes(engine)):
        log.info("%s", line)


def record_use(engine: NodeEngine) -> None:
    """Write how much of each mounted volume is used to its row."""
    rows = Volume.objects.filter(state=VolumeState.READY).values_list("pk", "used")
    for number, before in rows:
        found = engine.volumes.use(number)
        if found is not None and found.used != before:
            Volume.objects.filter(pk=number).update(used=found.used)


def printable_name(name: str) -> str:
    """Return a file name for a database row and a page. Its bytes may be anything."""
    return name.encode(errors="backslashreplace").decode()


def _run(job: VolumeJob, engine: NodeEngine) -> None:
    try:
        _WORK[JobKind(job.kind)](job, engine)
    except RuntimeFailure as failure:
        _fail(job, failure.explain())
    except Exception as failure:
        # The edge of the task: every error must end the job for the person who waits.
        log.exception("Volume job %s failed with an internal error", job.pk)
        explain = getattr(failure, "explain", None)
        _fail(job, explain() if explain else _INTERNAL)


def _fail(job: VolumeJob, reason: str) -> None:
    if job.kind in (JobKind.CREATE, JobKind.CLONE):
        actions.fail_creation(job, reason)
    elif job.kind == JobKind.SNAPSHOT:
        copies.forget_snapshot(job, job.arguments["snapshot"], reason=reason)
    else:
        jobs.fail(job, reason)


def _create(job: VolumeJob, engine: NodeEngine) -> None:
    engine.volumes.create(volume_of(job.volume))
    actions.finish_creation(job)


def _grow(job: VolumeJob, engine: NodeEngine) -> None:
    done = engine.volumes.grow(volume_of(job.volume))
    if not done:
        actions.restart_app_of(job.volume)
    jobs.finish(job, {"restarted": not done})


def _snapshot(job: VolumeJob, engine: NodeEngine) -> None:
    number = job.arguments["snapshot"]
    taken = engine.volumes.take_snapshot(volume_of(job.volume), number)
    copies.finish_snapshot(job, number, taken)


def _forget(job: VolumeJob, engine: NodeEngine) -> None:
    engine.volumes.remove_snapshot(job.volume_id, job.arguments["snapshot"])
    copies.forget_snapshot(job, job.arguments["snapshot"])


def _restore(job: VolumeJob, engine: NodeEngine) -> None:
    engine.volumes.restore(volume_of(job.volume), job.arguments["snapshot"])
    actions.restart_app_of(job.volume)
    jobs.finish(job, {})


def _clone(job: VolumeJob, engine: NodeEngine) -> None:
    source = Volume.objects.get(pk=job.arguments["source"])
    engine.volumes.clone(
        volume_of(job.volume), source=volume_of(source), snapshot=job.arguments["snapshot"]
    )
    actions.finish_creation(job)


def _browse(job: VolumeJob, engine: NodeEngine) -> None:
    found = Transfers(engine.volumes).listing(volume_of(job.volume), job.arguments["place"])
    files = [
        {
            "name": printable_name(each.name),
            "kind": each.kind if each.kind in ("folder", "file", "link") else "other",
            "size": max(each.size, 0),
            "modified": each.modified,
            "link": printable_name(each.link),
        }
        for each in found.files[:MOST_LISTED]
    ]
    jobs.finish(job, {"files": files, "whole": found.is_whole})


def _download(job: VolumeJob, engine: NodeEngine) -> None:
    """Pack a volume. The archive appears only when complete, for the portal's group."""
    for old in VolumeJob.objects.filter(volume=job.volume, kind=JobKind.DOWNLOAD, pk__lt=job.pk):
        jobs.archive_of(old).unlink(missing_ok=True)  # one archive per volume takes disk space
    engine.config.downloads.mkdir(mode=0o750, exist_ok=True)
    target = engine.config.downloads / jobs.archive_of(job).name
    partial = target.with_name(f"{target.name}.partial")
    partial.unlink(missing_ok=True)  # of a killed worker
    try:
        counted, size = Transfers(engine.volumes).pack(volume_of(job.volume), partial)
        os.chown(partial, 0, group_of(engine.config.user))
        partial.chmod(0o640)
        partial.rename(target)
    finally:
        partial.unlink(missing_ok=True)
    result = {"bytes": size, "files": counted.files, "left_out": counted.left_out}
    jobs.finish(job, result)


def _upload(job: VolumeJob, engine: NodeEngine) -> None:
    archive = engine.config.sources / job.arguments["digest"]
    if not archive.exists():
        raise VolumeFailed("The uploaded archive was deleted.", hint="Upload it again.")
    counted = Transfers(engine.volumes).unpack(
        volume_of(job.volume),
        archive,
        filename=job.arguments["filename"],
        place=job.arguments["place"],
    )
    jobs.finish(job, {"files": counted.files, "left_out": counted.left_out})


_WORK: Mapping[JobKind, Callable[[VolumeJob, NodeEngine], None]] = {
    JobKind.CREATE: _create,
    JobKind.GROW: _grow,
    JobKind.SNAPSHOT: _snapshot,
    JobKind.FORGET_SNAPSHOT: _forget,
    JobKind.RESTORE: _restore,
    JobKind.CLONE: _clone,
    JobKind.BROWSE: _browse,
    JobKind.DOWNLOAD: _download,
    JobKind.UPLOAD: _upload,
}
