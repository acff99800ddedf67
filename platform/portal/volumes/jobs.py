"""Jobs on volumes: queueing them, their states, and the retention of their results."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from portal import events
from portal.accounts.models import Person
from portal.apps.volumes import Volume
from portal.errors import Conflict
from portal.queue import Task, enqueue
from portal.volumes.access import OPEN, open_change
from portal.volumes.models import JobKind, JobState, VolumeJob

ARCHIVE_KEPT = timedelta(hours=1)
RESULT_KEPT = timedelta(days=1)
MOST_OPEN = 8  # open jobs per team


def ask(
    actor: Person | None, volume: Volume, kind: JobKind, arguments: Mapping[str, Any] | None = None
) -> VolumeJob:
    """Queue a job. The caller holds the lock of the team.

    Only one job changes or copies a volume at a time. Raise Conflict if there is another one.
    """
    if kind is not JobKind.BROWSE and (other := open_change(volume)) is not None:
        raise Conflict(
            f"{volume.name} is busy: {other.get_kind_display().lower()}.",
            hint="Wait until that has ended.",
        )
    count = VolumeJob.objects.filter(volume__team=volume.team_id, state__in=OPEN).count()
    if count >= MOST_OPEN:
        raise Conflict(
            f"Team {volume.team.name} already has {MOST_OPEN} open jobs on volumes.",
            hint="Wait until one has ended.",
        )
    job = VolumeJob.objects.create(
        volume=volume, kind=kind, arguments=dict(arguments or {}), created_by=actor
    )
    enqueue(Task.VOLUME_JOB, job.pk)
    announce(volume)
    return job


def begin(job: VolumeJob) -> bool:
    """Mark the job as running, also after its worker was lost. Return False if it has ended."""
    return _move(job, JobState.WORKING)


def finish(job: VolumeJob, result: Mapping[str, Any]) -> bool:
    """Mark the job as done, with its result."""
    return _move(job, JobState.DONE, result=dict(result), finished_at=timezone.now())


def fail(job: VolumeJob, reason: str) -> bool:
    """Mark the job as failed, with the reason."""
    return _move(job, JobState.FAILED, reason=reason, finished_at=timezone.now())


def announce(volume: Volume) -> None:
    """Publish that a volume changed, to the pages of its app."""
    if name := volume.app.name if volume.app is not None else volume.last_app:
        events.announce(name, events.EventKind.VOLUME)


def archive_of(job: VolumeJob) -> Path:
    """Return the path to which the node writes the archive of a download."""
    return Path(settings.DOWNLOADS / f"volume-{job.pk}.tar.gz")


def sources_in_use() -> set[str]:
    """Return the digests of uploads that open jobs will unpack."""
    waiting = VolumeJob.objects.filter(kind=JobKind.UPLOAD, state__in=OPEN)
    return {str(arguments["digest"]) for arguments in waiting.values_list("arguments", flat=True)}


def forget_old() -> None:
    """Delete old finished jobs, and archives without a job. For the workers, who own the files."""
    now = timezone.now()
    old = Q(finished_at__lt=now - RESULT_KEPT) | Q(
        kind=JobKind.DOWNLOAD, finished_at__lt=now - ARCHIVE_KEPT
    )
    VolumeJob.objects.filter(old).delete()
    known = {
        f"volume-{number}.tar.gz"
        for number in VolumeJob.objects.filter(kind=JobKind.DOWNLOAD).values_list("pk", flat=True)
    }
    for path in settings.DOWNLOADS.glob("volume-*.tar.gz*"):
        if path.name.removesuffix(".partial") not in known:
            path.unlink(missing_ok=True)


def _move(job: VolumeJob, state: JobState, **values: object) -> bool:
    """Change the state by compare and swap. Losing the race is normal."""
    moved = VolumeJob.objects.filter(pk=job.pk, state__in=OPEN).update(state=state, **values) == 1
    if moved:
        announce(job.volume)
    return moved
