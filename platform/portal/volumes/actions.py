"""Change volumes: create, change, detach, attach, delete, restore. `copies` has snapshots and
transfers. Workers report results here."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from portal import events
from portal.accounts.access import require_member
from portal.accounts.models import Person
from portal.activity import audit
from portal.apps.models import App
from portal.apps.volumes import KEPT, Volume, VolumeState
from portal.builds.disk_space import check_room
from portal.errors import Conflict, NotFound, ValueRefused
from portal.queue import Task, enqueue
from portal.quotas import amounts, decision
from portal.quotas.app_lock import lock_app
from portal.volumes import jobs, rules
from portal.volumes.access import open_change
from portal.volumes.models import JobKind, VolumeJob

_MIB = 2**20


@transaction.atomic
def create(
    actor: Person | None,
    *,
    app: App,
    name: str,
    path: str,
    size: int,
    processes: Sequence[str] = (),
    overlap: bool = False,
) -> Volume:
    """Create a volume and attach it. The instances that get it are replaced.

    Without an actor, the app's manifest asked for it. Then a rollout replaces them.
    """
    if actor is not None:
        require_member(actor, app.team)
    check_room()
    name, path = rules.checked_name(name), rules.checked_path(path)
    size, processes = _whole(rules.checked_size(size)), rules.checked_processes(processes)
    app = lock_app(app)
    rules.check_place(app, name, path)
    decision.check_stored(app.team, size)
    volume = Volume.objects.create(
        team=app.team,
        app=app,
        last_app=app.name,
        name=name,
        size=size,
        path=path,
        processes=processes,
        overlap=overlap,
    )
    jobs.ask(actor, volume, JobKind.CREATE)
    audit.record(actor, f"created the volume {name} of {amounts.size(size)} at {path}", app=app)
    if actor is not None:
        _replace_instances(app)
    return volume


@transaction.atomic
def change(
    actor: Person | None,
    *,
    volume: Volume,
    size: int | None = None,
    path: str | None = None,
    processes: Sequence[str] | None = None,
    overlap: bool | None = None,
) -> Volume:
    """Change some settings of an attached volume. It grows while instances use it; it cannot
    shrink. Another path or other process types replace the instances."""
    if actor is not None:
        require_member(actor, volume.team)
    app, volume = _locked(volume)
    if app is None:
        raise Conflict(f"{volume.name} is not attached to an app.", hint="Attach it first.")
    changed: list[str] = []
    if path is not None and (path := rules.checked_path(path)) != volume.path:
        rules.check_place(app, volume.name, path, besides=volume)
        volume.path = path
        changed.append(f"path to {path}")
    if processes is not None and (chosen := rules.checked_processes(processes)) != volume.processes:
        volume.processes = chosen
        changed.append(f"process types to {', '.join(chosen) or 'all'}")
    if changed:
        _replace_instances(app)
    if overlap is not None and overlap != volume.overlap:
        volume.overlap = overlap
        changed.append(f"rollouts to {'overlap' if overlap else 'stop, then start'}")
    if size is not None and (size := _whole(rules.checked_size(size))) != volume.size:
        _grow(actor, volume, size)
        changed.append(f"size to {amounts.size(size)}")
    if changed:
        volume.save()
        audit.record(actor, f"set the {'; '.join(changed)} of the volume {volume.name}", app=app)
        jobs.announce(volume)
    return volume


@transaction.atomic
def detach(actor: Person, *, volume: Volume) -> None:
    """Detach a volume from its app, whose instances are replaced. The data stays, without limit of
    time."""
    require_member(actor, volume.team)
    app, volume = _locked(volume)
    if app is None:
        raise Conflict(f"{volume.name} is not attached to an app.", hint="There is nothing to do.")
    _detach(volume)
    audit.record(actor, f"detached the volume {volume.name}", app=app)
    _replace_instances(app)


@transaction.atomic
def attach(
    actor: Person,
    *,
    volume: Volume,
    app: App,
    path: str = "",
    processes: Sequence[str] | None = None,
) -> Volume:
    """Attach a detached or deleted volume to an app of the same team. An empty path keeps the last
    one. A deleted volume is restored by this."""
    require_member(actor, volume.team)
    require_member(actor, app.team)
    if app.team_id != volume.team_id:
        raise Conflict(
            f"{volume.name} belongs to team {volume.team.name}, and {app.name} to another team.",
            hint="Download its files, and upload them to a volume of the other team.",
        )
    app = lock_app(app)
    _, volume = _locked(volume)
    if volume.app is not None:
        raise Conflict(
            f"{volume.name} is attached to {volume.app.name}.", hint="Detach it there first."
        )
    if volume.state != VolumeState.READY:
        raise Conflict(
            f"{volume.name} is not ready: {volume.get_state_display().lower()}.",
            hint="Wait until it is ready, or use another volume.",
        )
    path = rules.checked_path(path or volume.path)
    rules.check_place(app, volume.name, path)
    was_deleted = volume.deleted_at is not None
    volume.app, volume.last_app, volume.path, volume.deleted_at = app, app.name, path, None
    if processes is not None:
        volume.processes = rules.checked_processes(processes)
    volume.save()
    what = "restored" if was_deleted else "attached"
    audit.record(actor, f"{what} the volume {volume.name} at {path}", app=app)
    _replace_instances(app)
    return volume


@transaction.atomic
def delete(actor: Person, *, volume: Volume, typed_name: str) -> None:
    """Delete a volume. It can be restored for some days (KEPT)."""
    require_member(actor, volume.team)
    _check_typed(volume, typed_name)
    app, volume = _locked(volume)
    if volume.deleted_at is not None:
        raise Conflict(f"{volume.name} is already deleted.", hint="There is nothing to do.")
    if volume.state == VolumeState.FAILED:
        _remove(volume)  # there is no data to keep
    else:
        volume.deleted_at = timezone.now()
        _detach(volume)
    audit.record(actor, f"deleted the volume {volume.name}", team=volume.team, app=app)
    if app is not None:
        _replace_instances(app)


@transaction.atomic
def delete_at_once(actor: Person, *, volume: Volume, typed_name: str) -> None:
    """Delete the data of a deleted volume and its snapshots now. It cannot be restored."""
    require_member(actor, volume.team)
    _check_typed(volume, typed_name)
    _, volume = _locked(volume)
    if volume.deleted_at is None:
        raise Conflict(
            f"{volume.name} is not deleted.", hint="Delete it first. Then its data can be removed."
        )
    _remove(volume)
    audit.record(actor, f"removed the data of the volume {volume.name}", team=volume.team)


def delete_all_of(app: App) -> None:
    """Delete the volumes of an app that is deleted. They can be restored like others.

    The caller holds the app's lock.
    """
    for volume in Volume.objects.filter(app=app).select_related("app", "team"):
        volume.deleted_at = timezone.now()
        _detach(volume)


def finish_creation(job: VolumeJob) -> None:
    """Mark the volume of a job as ready."""
    Volume.objects.filter(pk=job.volume_id, state=VolumeState.CREATING).update(
        state=VolumeState.READY
    )
    jobs.finish(job, {})


def fail_creation(job: VolumeJob, reason: str) -> None:
    """Mark the volume of a job as failed, with the reason."""
    Volume.objects.filter(pk=job.volume_id, state=VolumeState.CREATING).update(
        state=VolumeState.FAILED, reason=reason
    )
    jobs.fail(job, reason)


def restart_app_of(volume: Volume) -> None:
    """Replace the instances of a volume's app, so that they see its new content or size."""
    with transaction.atomic():
        row = Volume.objects.select_related("app").filter(pk=volume.pk).first()
        if row is not None and row.app is not None:
            _replace_instances(row.app)


def kept_until(volume: Volume) -> str:
    """Return the day on which a deleted volume's data is deleted, as YYYY-MM-DD."""
    assert volume.deleted_at is not None
    return (volume.deleted_at + KEPT).date().isoformat()


def _grow(actor: Person | None, volume: Volume, size: int) -> None:
    if size < volume.size:
        raise ValueRefused(
            f"{volume.name} has {amounts.size(volume.size)} and cannot become smaller.",
            field="size",
            hint="Create a smaller volume, and copy the files.",
        )
    check_room()
    decision.check_stored(volume.team, size - volume.size)
    volume.size = size
    volume.save(update_fields=("size",))
    jobs.ask(actor, volume, JobKind.GROW)


def _whole(size: int) -> int:
    """Return the size as a multiple of 1 MiB, which the file system needs."""
    return -(-size // _MIB) * _MIB


def _detach(volume: Volume) -> None:
    if volume.app is not None:
        volume.last_app = volume.app.name
    volume.app = None
    volume.save()
    jobs.announce(volume)


def _remove(volume: Volume) -> None:
    if (job := open_change(volume)) is not None:
        raise Conflict(
            f"{volume.name} is busy: {job.get_kind_display().lower()}.",
            hint="Wait until that has ended.",
        )
    volume.app, volume.state = None, VolumeState.REMOVING
    volume.deleted_at = volume.deleted_at or timezone.now()
    volume.save()
    enqueue(Task.REMOVE_VOLUMES)
    jobs.announce(volume)


def _check_typed(volume: Volume, typed_name: str) -> None:
    if typed_name.strip() != volume.name:
        raise ValueRefused(
            "The name does not match.",
            field="typed_name",
            hint=f"Type {volume.name} to delete it.",
        )


def _locked(volume: Volume) -> tuple[App | None, Volume]:
    """Return the volume's app, locked, and its current row. The team's quota is locked first."""
    decision.lock(volume.team)
    found = Volume.objects.select_for_update().filter(pk=volume.pk).first()
    if found is None or found.state == VolumeState.REMOVING:
        raise NotFound(f"Volume {volume.name} was deleted.")
    return (lock_app(found.app) if found.app is not None else None), found


def _replace_instances(app: App) -> None:
    """Replace the app's instances by its strategy. Without a release there are none."""
    App.objects.filter(pk=app.pk, current_release__isnull=False).update(
        generation=F("generation") + 1
    )
    enqueue(Task.CONVERGE, app.pk)
    events.announce(app.name, events.EventKind.APP)
