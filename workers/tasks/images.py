"""Image jobs: compare images, list changed files, commit an instance, save an archive."""

from __future__ import annotations

import logging
import os
import pwd
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from portal.images import actions as images
from portal.images import jobs
from portal.images.models import Image, ImageJob, ImageTag, JobKind, JobState
from portal.releases.access import all_kept_releases
from runtime import journal
from runtime.engines.node import NodeEngine
from runtime.errors import RuntimeFailure
from runtime.images.exchange.transfer import Transfer
from runtime.images.layers.diff import Change
from runtime.images.scratch import scratch
from workers import node
from workers.bridge import translate
from workers.celery import app as celery

log = logging.getLogger(__name__)

MOST_LISTED = 2000  # changes in a result; the rest is only counted


@celery.task(name="slipway.image_job")
def image_job(job_id: int) -> None:
    """Run one job, unless another worker runs it or it is over."""
    engine = node.engine()
    job = ImageJob.objects.select_related("app__team", "created_by").filter(pk=job_id).first()
    if job is None:
        return
    with journal.lock(lock_of(job_id, engine), blocking=False) as held:
        if held and images.begin(job):
            _run(job, engine)


def lock_of(job_id: int, engine: NodeEngine) -> Path:
    """Return the path of the lock that a worker holds while it runs this job."""
    return engine.config.locks / f"image-job-{job_id}"


def jobs_without_worker(engine: NodeEngine, late: Iterable[int]) -> Iterator[int]:
    """Yield jobs that no worker runs: `late` ones that wait, and those whose worker is gone."""
    yield from late
    for number in ImageJob.objects.filter(state=JobState.WORKING).values_list("pk", flat=True):
        with journal.lock(lock_of(number, engine), blocking=False) as free:
            if free:
                yield number


def write_missing_image_rows(engine: NodeEngine) -> None:
    """Write rows for kept images that have none.

    These are images that are older than the rows, and images of killed workers.
    """
    wanted = {release.image for _, release in all_kept_releases() if release.image}
    wanted |= set(ImageTag.objects.values_list("digest", flat=True))
    for digest in sorted(
        wanted - set(Image.objects.filter(digest__in=wanted).values_list("digest", flat=True))
    ):
        write_image_rows(digest, engine)


def write_image_rows(digest: str, engine: NodeEngine) -> None:
    """Write the rows of one image.

    An image that the store does not have is logged: a rollback to its release is not possible
    either.
    """
    try:
        translate.write_image(engine.describe(digest))
    except (RuntimeFailure, ValueError) as failure:
        log.info("Could not describe image %s: %s", digest, failure)


def remove_old_jobs(engine: NodeEngine) -> None:
    """Delete old finished jobs with their archives, and the locks of finished jobs."""
    jobs.forget_old()
    under_way = {
        f"image-job-{number}"
        for number in ImageJob.objects.exclude(finished_at__isnull=False).values_list(
            "pk", flat=True
        )
    }
    for path in engine.config.locks.glob("image-job-*"):
        if path.name not in under_way:
            path.unlink(missing_ok=True)


def _run(job: ImageJob, engine: NodeEngine) -> None:
    try:
        if job.kind == JobKind.COMPARE:
            images.finish(job, _compare(job, engine))
        elif job.kind == JobKind.WRITTEN:
            images.finish(job, _written(job, engine))
        elif job.kind == JobKind.SAVE:
            images.finish(job, _save(job, engine))
        else:
            _commit(job, engine)
    except RuntimeFailure as failure:
        images.fail(job, failure.explain())
    except Exception as failure:
        # The edge of the task: every error must end the job for the person who waits.
        log.exception("Image job %s failed with an internal error", job.pk)
        # An error of the portal, for example about a deleted app.
        explain = getattr(failure, "explain", None)
        message = (
            "This failed because of an internal error, not because of the app. Ask the"
            " administrator of this platform."
        )
        images.fail(job, explain() if explain else message)


def _compare(job: ImageJob, engine: NodeEngine) -> dict[str, Any]:
    store = engine.images
    with store.lease():
        before, after = (store.image(job.arguments[name]) for name in ("before", "after"))
        folder = after.config.working_directory.strip("/")
        found = store.reader.compare_releases(before.layers, after.layers, folder)
    return {
        **_listed(found.changes, whole=True),
        "packages": [
            [change.system, change.name, change.before, change.after] for change in found.packages
        ],
        "texts": [
            {"path": text.path[:400], "lines": text.lines, "is_cut": text.is_cut}
            for text in found.texts
        ],
        "texts_left_out": found.texts_left_out,
    }


def _written(job: ImageJob, engine: NodeEngine) -> dict[str, Any]:
    found = engine.written(job.arguments["instance"])
    return _listed(found.changes, whole=found.whole)


def _commit(job: ImageJob, engine: NodeEngine) -> None:
    with engine.images.lease():  # keeps the image until a row names it
        digest = engine.commit(job.arguments["instance"])
        description = engine.describe(digest)
        translate.write_image(description)
        images.finish_commit(job, digest, description.layers[-1].size)


def _save(job: ImageJob, engine: NodeEngine) -> dict[str, Any]:
    """Save an image as an archive.

    It appears only when complete, and the portal's group can read it.
    """
    form, name = job.arguments["format"], job.arguments["name"]
    folder = engine.config.downloads
    folder.mkdir(mode=0o750, exist_ok=True)
    # After a kill, the next user of this folder cleans it up.
    ingest = engine.config.images / "ingest"
    with scratch(ingest) as space:
        partial = space / "archive.tar"
        target = f"{form}:{partial}:{job.app.team.name}/{job.app.name}:{name}"
        Transfer(engine.config, engine.images).send(
            job.arguments["digest"], target, docker=form == "docker-archive"
        )
        os.chown(partial, 0, group_of(engine.config.user))
        partial.chmod(0o640)
        partial.rename(folder / f"{job.pk}.tar")
    return {
        "filename": f"{job.app.name}-{name}-{form.partition('-')[0]}.tar",
        "bytes": (folder / f"{job.pk}.tar").stat().st_size,
    }


def group_of(user: str) -> int:
    """Return the group of the portal's user, which may read downloads."""
    try:
        return pwd.getpwnam(user).pw_gid
    except KeyError:  # there is no such user: everything here runs as root
        return 0


def _listed(changes: Iterable[Change], *, whole: bool) -> dict[str, Any]:
    """Return the first MOST_LISTED changes by path, and the numbers of all."""
    found = list(changes)
    counts = Counter(change.kind.value for change in found)
    return {
        "changes": [
            [change.kind.value, change.text[:400], change.size] for change in found[:MOST_LISTED]
        ],
        "added": counts["A"],
        "changed": counts["C"],
        "deleted": counts["D"],
        "bytes": sum(change.size for change in found),
        "whole": whole,
    }
