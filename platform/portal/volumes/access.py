"""Read volumes, snapshots and jobs. Other modules get them only from here.

A member of a team sees all of its volumes: those of its apps, detached ones, and deleted ones.
"""

from __future__ import annotations

from django.db.models import Q, QuerySet
from django.utils import timezone

from portal.accounts.access import teams_of
from portal.accounts.models import Person
from portal.apps.models import App
from portal.apps.volumes import KEPT, Snapshot, Volume, VolumeState
from portal.errors import NotFound
from portal.volumes.models import JobKind, JobState, VolumeJob

OPEN = (JobState.QUEUED, JobState.WORKING)


def volumes_of(app: App) -> QuerySet[Volume]:
    """Return the volumes that are attached to an app, by name."""
    return Volume.objects.filter(app=app).select_related("app", "team").order_by("name")


def unattached_volumes_of(app: App) -> QuerySet[Volume]:
    """Return the volumes of the app's team that no app has, the deleted ones last."""
    return (
        Volume.objects.filter(team=app.team, app=None)
        .exclude(state=VolumeState.REMOVING)
        .select_related("team")
        .order_by("deleted_at", "name", "id")
    )


def all_volumes_of(person: Person) -> QuerySet[Volume]:
    """Return all volumes of the person's teams."""
    return (
        Volume.objects.filter(team__in=teams_of(person))
        .select_related("app", "team")
        .order_by("id")
    )


def volume_for(person: Person, number: int) -> Volume:
    """Return a volume of the person's teams, or any volume for an admin.

    Raise NotFound otherwise. The error is the same for volumes of other teams.
    """
    volumes = (
        Volume.objects.select_related("app", "team") if person.is_staff else all_volumes_of(person)
    )
    found = volumes.filter(pk=number).first()
    if found is None:
        raise NotFound(
            f"Volume {number} does not exist, or you do not have access to it.",
            hint="Check the list of volumes of your apps.",
        )
    return found


def snapshots_of(volume: Volume) -> QuerySet[Snapshot]:
    """Return the snapshots of a volume, newest first."""
    return Snapshot.objects.filter(volume=volume).order_by("-id")


def snapshot_of(volume: Volume, number: int) -> Snapshot:
    """Return a complete snapshot of a volume. Raise NotFound otherwise."""
    found = snapshots_of(volume).filter(pk=number, taken__isnull=False).first()
    if found is None:
        raise NotFound(
            f"{volume.name} has no snapshot {number}.", hint="Check the list of its snapshots."
        )
    return found


def job_for(person: Person, number: int, job: int) -> VolumeJob:
    """Return a job on a volume that the person may see. Raise NotFound otherwise."""
    volume = volume_for(person, number)
    found = VolumeJob.objects.filter(volume=volume, pk=job).select_related("volume__team").first()
    if found is None:
        raise NotFound(
            f"Volume {volume.name} has no job {job}.",
            hint="Results of jobs are deleted after a while. Start the job again.",
        )
    return found


def last_job(volume: Volume, kind: JobKind) -> VolumeJob | None:
    """Return the newest job of a kind on a volume."""
    return VolumeJob.objects.filter(volume=volume, kind=kind).order_by("-id").first()


def open_change(volume: Volume) -> VolumeJob | None:
    """Return the job that changes or copies a volume now."""
    return (
        VolumeJob.objects.filter(volume=volume, state__in=OPEN)
        .exclude(kind=JobKind.BROWSE)
        .order_by("id")
        .first()
    )


def replaces_all_at_once(app: App) -> bool:
    """Return whether old instances stop before new ones start, because of a volume."""
    return Volume.objects.filter(app=app, overlap=False).exists()


def due_for_removal() -> QuerySet[Volume]:
    """Return the volumes whose data is to be deleted: on request, or some days after deletion."""
    return Volume.objects.filter(
        Q(state=VolumeState.REMOVING) | Q(deleted_at__lt=timezone.now() - KEPT)
    )
