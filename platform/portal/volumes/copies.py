"""Copies and transfers of a volume's content: snapshots, clones, downloads, uploads, and lists of
files. The node does the work."""

from __future__ import annotations

from django.core.files.uploadedfile import UploadedFile
from django.db import transaction

from portal.accounts.access import require_member
from portal.accounts.models import Person
from portal.activity import audit
from portal.apps.volumes import Snapshot, Volume, VolumeState
from portal.builds import sources
from portal.builds.disk_space import check_room
from portal.errors import Conflict, ValueRefused
from portal.quotas import decision
from portal.volumes import jobs, rules
from portal.volumes.access import snapshot_of, snapshots_of
from portal.volumes.models import JobKind, VolumeJob

MOST_SNAPSHOTS = 20  # per volume
LONGEST_PLACE = 1000  # characters of a path below a volume


@transaction.atomic
def take_snapshot(actor: Person, *, volume: Volume, note: str = "") -> Snapshot:
    """Queue a snapshot. Writes of instances wait while it is taken."""
    volume = _checked(actor, volume)
    check_room()
    if snapshots_of(volume).count() >= MOST_SNAPSHOTS:
        raise Conflict(
            f"{volume.name} already has {MOST_SNAPSHOTS} snapshots, which is the maximum.",
            hint="Delete one first.",
        )
    decision.check_stored(volume.team, volume.size)
    snapshot = Snapshot.objects.create(volume=volume, size=volume.size, note=note.strip()[:80])
    jobs.ask(actor, volume, JobKind.SNAPSHOT, {"snapshot": snapshot.pk})
    audit.record(
        actor, f"took a snapshot of the volume {volume.name}", app=volume.app, team=volume.team
    )
    return snapshot


@transaction.atomic
def delete_snapshot(actor: Person, *, volume: Volume, number: int) -> None:
    """Delete a snapshot."""
    volume = _checked(actor, volume)
    snapshot = snapshot_of(volume, number)
    jobs.ask(actor, volume, JobKind.FORGET_SNAPSHOT, {"snapshot": snapshot.pk})
    audit.record(
        actor, f"deleted a snapshot of the volume {volume.name}", app=volume.app, team=volume.team
    )


@transaction.atomic
def restore(actor: Person, *, volume: Volume, number: int, typed_name: str) -> VolumeJob:
    """Replace the content of a volume by that of a snapshot. Its instances are replaced too."""
    volume = _checked(actor, volume)
    snapshot = snapshot_of(volume, number)
    if typed_name.strip() != volume.name:
        raise ValueRefused(
            "The name does not match.",
            field="typed_name",
            hint=f"Type {volume.name}: the files that are in it now are lost.",
        )
    check_room()
    job = jobs.ask(actor, volume, JobKind.RESTORE, {"snapshot": snapshot.pk})
    audit.record(
        actor, f"restored a snapshot of the volume {volume.name}", app=volume.app, team=volume.team
    )
    return job


@transaction.atomic
def clone(actor: Person, *, volume: Volume, name: str, number: int | None = None) -> Volume:
    """Create a detached volume with the content of this one, or of one of its snapshots."""
    volume = _checked(actor, volume)
    name = rules.checked_name(name)
    snapshot = snapshot_of(volume, number) if number is not None else None
    check_room()
    decision.check_stored(volume.team, volume.size)
    copy = Volume.objects.create(
        team=volume.team,
        last_app=volume.app.name if volume.app is not None else volume.last_app,
        name=name,
        size=volume.size,
        path=volume.path,
        processes=volume.processes,
        overlap=volume.overlap,
    )
    source = {"source": volume.pk, "snapshot": snapshot.pk if snapshot is not None else None}
    jobs.ask(actor, copy, JobKind.CLONE, source)
    audit.record(
        actor, f"cloned the volume {volume.name} as {name}", app=volume.app, team=volume.team
    )
    return copy


@transaction.atomic
def download(actor: Person, *, volume: Volume) -> VolumeJob:
    """Queue an archive of all files."""
    volume = _checked(actor, volume)
    check_room()
    audit.record(actor, f"downloaded the volume {volume.name}", app=volume.app, team=volume.team)
    return jobs.ask(actor, volume, JobKind.DOWNLOAD)


def upload(
    actor: Person, *, volume: Volume, file: UploadedFile[bytes], filename: str, place: str = ""
) -> VolumeJob:
    """Queue the unpacking of an archive into a folder of the volume.

    Files with the same names are replaced; others stay.
    """
    require_member(actor, volume.team)
    check_room()
    place = checked_place(place)
    source = sources.store_upload(file, filename=filename)
    with transaction.atomic():
        volume = _checked(actor, volume)
        audit.record(
            actor,
            f"uploaded files to the volume {volume.name}",
            app=volume.app,
            team=volume.team,
        )
        arguments = {"digest": source.digest, "filename": source.filename, "place": place}
        return jobs.ask(actor, volume, JobKind.UPLOAD, arguments)


@transaction.atomic
def browse(actor: Person, *, volume: Volume, place: str = "") -> VolumeJob:
    """Queue a list of the files in a folder of the volume."""
    volume = _checked(actor, volume)
    return jobs.ask(actor, volume, JobKind.BROWSE, {"place": checked_place(place)})


def checked_place(place: str) -> str:
    """Return a path below a volume, without slashes at its ends; "" is the volume itself."""
    parts = [part for part in place.split("/") if part]
    if len(place) > LONGEST_PLACE or "\0" in place or any(part in (".", "..") for part in parts):
        raise ValueRefused(
            "This is not a valid folder.",
            field="place",
            hint="Use a path below the volume, such as images/2024.",
        )
    return "/".join(parts)


def finish_snapshot(job: VolumeJob, number: int, taken: int) -> None:
    """Record the size of a snapshot that was taken."""
    Snapshot.objects.filter(pk=number).update(taken=taken)
    jobs.finish(job, {"bytes": taken})


def forget_snapshot(job: VolumeJob, number: int, *, reason: str = "") -> None:
    """Delete the row of a snapshot that the node deleted, or could not take."""
    Snapshot.objects.filter(pk=number).delete()
    if reason:
        jobs.fail(job, reason)
    else:
        jobs.finish(job, {})


def _checked(actor: Person, volume: Volume) -> Volume:
    """Return the current row, with the team's quota locked. Its data must exist."""
    require_member(actor, volume.team)
    decision.lock(volume.team)
    found = Volume.objects.select_related("app", "team").get(pk=volume.pk)
    if found.state != VolumeState.READY or found.deleted_at is not None:
        state = "deleted" if found.deleted_at else found.get_state_display().lower()
        raise Conflict(
            f"{volume.name} is not ready: {state}.", hint="Wait, or restore the volume first."
        )
    return found
