"""Change images: tags, jobs for the node, and releases of images. Workers report results here."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction
from django.utils import timezone

from portal import events
from portal.accounts.access import require_member
from portal.accounts.models import Person
from portal.activity import audit
from portal.apps.config import config_of
from portal.apps.models import App, Instance
from portal.builds.disk_space import check_room
from portal.errors import Conflict, NotFound, ValueRefused
from portal.images.access import Named, last_job
from portal.images.facts import Config, LayerFacts
from portal.images.models import Image, ImageJob, ImageLayer, ImageTag, JobKind, JobState
from portal.queue import Task, enqueue
from portal.quotas.app_lock import lock_app
from portal.releases.access import intended_release
from portal.releases.actions import make_release
from portal.releases.models import Rollout

MOST_TAGS = 20  # per app: each keeps an image on the disk
MOST_OPEN = 4  # open jobs per team
FORMATS = ("docker-archive", "oci-archive")
_TAG = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
_OF_RELEASES = re.compile(r"v[0-9]+|build-[0-9]+|latest")
_OPEN = (JobState.QUEUED, JobState.WORKING)


@transaction.atomic
def compare(actor: Person, *, before: Named, after: Named) -> ImageJob:
    """Queue a comparison of the files of two images. A stored result is used again, because images
    do not change."""
    require_member(actor, after.app.team)
    for image in (before, after):
        _check_kept(image)
    arguments = {"before": before.digest, "after": after.digest}
    return _ask(
        actor,
        after.app,
        JobKind.COMPARE,
        about_files(before.digest, after.digest),
        arguments,
        again=False,
    )


@transaction.atomic
def look_at_instance(actor: Person, *, instance: Instance) -> ImageJob:
    """Queue a list of the files that an instance has changed."""
    require_member(actor, instance.app.team)
    return _ask(
        actor, instance.app, JobKind.WRITTEN, instance.pk, {"instance": instance.pk}, again=True
    )


@transaction.atomic
def commit(actor: Person, *, instance: Instance, tag: str, deploy: bool) -> ImageJob:
    """Queue the creation of an image from an instance, with the tag `tag`. With `deploy` it also
    becomes a release."""
    require_member(actor, instance.app.team)
    check_room()
    _check_tag(instance.app, tag)
    job = _ask(
        actor,
        instance.app,
        JobKind.COMMIT,
        instance.pk,
        {"instance": instance.pk, "tag": tag, "deploy": deploy},
        again=True,
    )
    audit.record(actor, f"asked to save {instance.pk} as the image {tag}", app=instance.app)
    return job


@transaction.atomic
def save(actor: Person, *, image: Named, form: str) -> ImageJob:
    """Queue an archive to download, in one of FORMATS."""
    require_member(actor, image.app.team)
    if form not in FORMATS:
        raise ValueRefused(
            f"{form!r} is not a valid format.", field="format", hint=f"Use {' or '.join(FORMATS)}."
        )
    check_room()
    _check_kept(image)
    arguments = {"digest": image.digest, "format": form, "name": image.name}
    return _ask(
        actor, image.app, JobKind.SAVE, about_archive(image.digest, form), arguments, again=False
    )


def about_files(before: str, after: str) -> str:
    return f"{before} {after}"


def about_archive(digest: str, form: str) -> str:
    return f"{digest} {form}"


@transaction.atomic
def add_tag(actor: Person, *, image: Named, tag: str) -> ImageTag:
    """Tag an image of the app. A tag that another image of the app has is moved."""
    require_member(actor, image.app.team)
    _check_kept(image)
    lock_app(image.app)
    _check_tag(image.app, tag)
    row, _ = ImageTag.objects.update_or_create(
        app=image.app, name=tag, defaults={"digest": image.digest, "created_by": actor}
    )
    audit.record(actor, f"tagged the image of {image.name} as {tag}", app=image.app)
    return row


@transaction.atomic
def remove_tag(actor: Person, *, app: App, tag: str) -> None:
    """Remove a tag. An image without another tag or a kept release is deleted by the next garbage
    collection."""
    require_member(actor, app.team)
    gone, _ = ImageTag.objects.filter(app=app, name=tag).delete()
    if not gone:
        raise NotFound(f"{app.name} has no tag {tag}.", hint="Check the list of its images.")
    audit.record(actor, f"removed the tag {tag} from an image", app=app)


@transaction.atomic
def deploy(actor: Person, *, image: Named) -> Rollout:
    """Make a release of an image with the app's current config vars and process types, and roll it
    out."""
    require_member(actor, image.app.team)
    _check_kept(image)
    return _release(actor, image.app, image.digest, f"Deploy the image {image.name}")


@transaction.atomic
def write_facts(digest: str, layers: Sequence[LayerFacts], config: Config) -> None:
    """Store the facts that a worker reports about an image, bottom layer first. They never
    change."""
    image, made = Image.objects.get_or_create(digest=digest, defaults={"config": config})
    if made:
        ImageLayer.objects.bulk_create(
            ImageLayer(
                image=image,
                position=number,
                diff_id=layer.diff_id,
                digest=layer.digest,
                size=layer.size,
                unpacked=layer.unpacked,
                created_by=layer.created_by,
            )
            for number, layer in enumerate(layers)
        )


def begin(job: ImageJob) -> bool:
    """Mark the job as running, also after its worker was lost. Return False if the job has
    ended."""
    return _move(job, JobState.WORKING)


def finish(job: ImageJob, result: Mapping[str, Any]) -> bool:
    """Mark the job as done, with its result."""
    return _move(job, JobState.DONE, result=dict(result), finished_at=timezone.now())


def fail(job: ImageJob, reason: str) -> bool:
    """Mark the job as failed, with the reason."""
    return _move(job, JobState.FAILED, reason=reason, finished_at=timezone.now())


@transaction.atomic
def finish_commit(job: ImageJob, digest: str, size: int) -> bool:
    """Tag the created image, and make a release of it if that was requested."""
    tag = job.arguments["tag"]
    if not finish(job, {"digest": digest, "tag": tag, "bytes": size}):
        return False
    ImageTag.objects.update_or_create(
        app=job.app, name=tag, defaults={"digest": digest, "created_by": job.created_by}
    )
    audit.record(
        job.created_by, f"saved {job.arguments['instance']} as the image {tag}", app=job.app
    )
    if job.arguments["deploy"]:
        rollout = _release(
            job.created_by, job.app, digest, f"Commit {tag} of {job.arguments['instance']}"
        )
        ImageJob.objects.filter(pk=job.pk).update(
            result={"digest": digest, "tag": tag, "bytes": size, "release": rollout.release.number}
        )
    return True


def _release(actor: Person | None, app: App, digest: str, description: str) -> Rollout:
    app = lock_app(app)
    now = intended_release(app)
    if now is None:
        raise Conflict(
            f"{app.name} has no release from which to copy the process types.",
            hint="Deploy a source first.",
        )
    return make_release(
        app,
        image=digest,
        config=config_of(app),
        processes=now.processes,
        description=description,
        actor=actor,
        build=now.build,
        app_file=now.app_file,
    )


def _ask(
    actor: Person, app: App, kind: JobKind, about: str, arguments: Mapping[str, Any], *, again: bool
) -> ImageJob:
    """Queue a job, unless the same job is open, or was done and `again` is False."""
    app = lock_app(app)
    last = last_job(app, kind, about)
    if last is not None and (last.state in _OPEN or (last.state == JobState.DONE and not again)):
        return last
    if ImageJob.objects.filter(app__team=app.team_id, state__in=_OPEN).count() >= MOST_OPEN:
        raise Conflict(
            f"Team {app.team.name} already has {MOST_OPEN} open image jobs.",
            hint="Wait until one has ended.",
        )
    job = ImageJob.objects.create(
        app=app, kind=kind, about=about, arguments=dict(arguments), created_by=actor
    )
    enqueue(Task.IMAGE_JOB, job.pk)
    events.announce(app.name, events.EventKind.IMAGE)
    return job


def _move(job: ImageJob, state: JobState, **values: object) -> bool:
    """Change the state by compare and swap. Losing the race is normal."""
    moved = ImageJob.objects.filter(pk=job.pk, state__in=_OPEN).update(state=state, **values) == 1
    if moved:
        events.announce(job.app.name, events.EventKind.IMAGE)
    return moved


def _check_kept(image: Named) -> None:
    if not image.is_kept:
        raise Conflict(
            f"The image of {image.name} has been deleted.", hint="Deploy its source again."
        )


def _check_tag(app: App, tag: str) -> None:
    if not _TAG.fullmatch(tag):
        raise ValueRefused(
            f"{tag!r} is not a valid tag.",
            field="tag",
            hint="Use up to 64 of a-z, 0-9, dot, hyphen and underscore.",
        )
    if _OF_RELEASES.fullmatch(tag):
        raise ValueRefused(
            f"{tag} is reserved for releases.",
            field="tag",
            hint="Choose another tag, such as before-the-move.",
        )
    tags = ImageTag.objects.filter(app=app)
    if tags.count() >= MOST_TAGS and not tags.filter(name=tag).exists():
        raise Conflict(
            f"{app.name} already has {MOST_TAGS} tags, which is the maximum.",
            hint="Remove a tag first.",
        )
