"""API operations for volumes. A volume is identified by its number, also without an app."""

from __future__ import annotations

from django.http import HttpRequest, StreamingHttpResponse
from ninja import File, Router, Status
from ninja.files import UploadedFile

from portal.api.authentication import person_of
from portal.api.volume_schemas import (
    AttachIn,
    CloneIn,
    FolderIn,
    SnapshotIn,
    SnapshotOut,
    VolumeChangeIn,
    VolumeIn,
    VolumeJobOut,
    VolumeOut,
    job_out,
    snapshot_out,
    volume_out,
)
from portal.apps.access import app_for
from portal.errors import NotFound
from portal.http.file_responses import file_response
from portal.volumes import actions, copies, jobs
from portal.volumes.access import (
    all_volumes_of,
    job_for,
    last_job,
    snapshots_of,
    volume_for,
    volumes_of,
)
from portal.volumes.models import JobKind, JobState

router = Router(tags=["volumes"])
_ONE = "/volumes/{number}"


@router.get(
    "/volumes",
    response=list[VolumeOut],
    summary="The volumes of your teams, also detached and deleted ones",
)
def list_volumes(request: HttpRequest) -> list[VolumeOut]:
    return [volume_out(row) for row in all_volumes_of(person_of(request))]


@router.get("/apps/{name}/volumes", response=list[VolumeOut], summary="The volumes of an app")
def list_volumes_of(request: HttpRequest, name: str) -> list[VolumeOut]:
    return [volume_out(row) for row in volumes_of(app_for(person_of(request), name))]


@router.post(
    "/apps/{name}/volumes",
    response={201: VolumeOut},
    summary="Create a volume and attach it to the app",
)
def create_volume(request: HttpRequest, name: str, body: VolumeIn) -> Status[VolumeOut]:
    person = person_of(request)
    row = actions.create(
        person,
        app=app_for(person, name),
        name=body.name,
        path=body.path,
        size=body.size,
        processes=body.processes,
        overlap=body.overlap,
    )
    return Status(201, volume_out(row))


@router.get(_ONE, response=VolumeOut, summary="One volume")
def show_volume(request: HttpRequest, number: int) -> VolumeOut:
    return volume_out(volume_for(person_of(request), number))


@router.patch(_ONE, response=VolumeOut, summary="Enlarge a volume, or change its settings")
def change_volume(request: HttpRequest, number: int, body: VolumeChangeIn) -> VolumeOut:
    person = person_of(request)
    row = actions.change(
        person,
        volume=volume_for(person, number),
        size=body.size,
        path=body.path,
        processes=body.processes,
        overlap=body.overlap,
    )
    return volume_out(row)


@router.post(
    f"{_ONE}/detach", response={204: None}, summary="Detach a volume from its app; its data stays"
)
def detach_volume(request: HttpRequest, number: int) -> Status[None]:
    person = person_of(request)
    actions.detach(person, volume=volume_for(person, number))
    return Status(204, None)


@router.post(
    f"{_ONE}/attach",
    response=VolumeOut,
    summary="Attach a detached volume to an app, or restore a deleted one",
)
def attach_volume(request: HttpRequest, number: int, body: AttachIn) -> VolumeOut:
    person = person_of(request)
    row = actions.attach(
        person,
        volume=volume_for(person, number),
        app=app_for(person, body.app),
        path=body.path,
        processes=body.processes,
    )
    return volume_out(row)


@router.delete(
    _ONE,
    response={204: None},
    summary="Delete a volume; it can be restored for seven days. Send confirm=NAME",
)
def delete_volume(request: HttpRequest, number: int, confirm: str = "") -> Status[None]:
    person = person_of(request)
    actions.delete(person, volume=volume_for(person, number), typed_name=confirm)
    return Status(204, None)


@router.delete(
    f"{_ONE}/data",
    response={204: None},
    summary="Remove the data of a deleted volume now. Send confirm=NAME",
)
def delete_volume_data(request: HttpRequest, number: int, confirm: str = "") -> Status[None]:
    person = person_of(request)
    actions.delete_at_once(person, volume=volume_for(person, number), typed_name=confirm)
    return Status(204, None)


@router.get(f"{_ONE}/snapshots", response=list[SnapshotOut], summary="The snapshots of a volume")
def list_snapshots(request: HttpRequest, number: int) -> list[SnapshotOut]:
    rows = snapshots_of(volume_for(person_of(request), number))
    return [snapshot_out(row) for row in rows]


@router.post(
    f"{_ONE}/snapshots",
    response={202: SnapshotOut},
    summary="Take a snapshot. Writes to the volume wait until it is complete",
)
def take_snapshot(request: HttpRequest, number: int, body: SnapshotIn) -> Status[SnapshotOut]:
    person = person_of(request)
    row = copies.take_snapshot(person, volume=volume_for(person, number), note=body.note)
    return Status(202, snapshot_out(row))


@router.delete(f"{_ONE}/snapshots/{{snapshot}}", response={202: None}, summary="Delete a snapshot")
def delete_snapshot(request: HttpRequest, number: int, snapshot: int) -> Status[None]:
    person = person_of(request)
    copies.delete_snapshot(person, volume=volume_for(person, number), number=snapshot)
    return Status(202, None)


@router.post(
    f"{_ONE}/snapshots/{{snapshot}}/restore",
    response={202: VolumeJobOut},
    summary="Replace the content of the volume by a snapshot. Send confirm=NAME",
)
def restore_snapshot(
    request: HttpRequest, number: int, snapshot: int, confirm: str = ""
) -> Status[VolumeJobOut]:
    person = person_of(request)
    job = copies.restore(
        person, volume=volume_for(person, number), number=snapshot, typed_name=confirm
    )
    return Status(202, job_out(job))


@router.post(
    f"{_ONE}/clone",
    response={202: VolumeOut},
    summary="Create a detached volume with the same content, or with that of a snapshot",
)
def clone_volume(request: HttpRequest, number: int, body: CloneIn) -> Status[VolumeOut]:
    person = person_of(request)
    row = copies.clone(
        person, volume=volume_for(person, number), name=body.name, number=body.snapshot
    )
    return Status(202, volume_out(row))


@router.post(
    f"{_ONE}/download",
    response={202: VolumeJobOut},
    summary="Create an archive of all files to download",
)
def download(request: HttpRequest, number: int) -> Status[VolumeJobOut]:
    person = person_of(request)
    return Status(202, job_out(copies.download(person, volume=volume_for(person, number))))


@router.post(
    f"{_ONE}/upload",
    response={202: VolumeJobOut},
    summary="Unpack an archive into a folder of the volume",
)
def upload(
    request: HttpRequest, number: int, archive: File[UploadedFile], place: str = ""
) -> Status[VolumeJobOut]:
    person = person_of(request)
    job = copies.upload(
        person,
        volume=volume_for(person, number),
        file=archive,
        filename=archive.name or "",
        place=place,
    )
    return Status(202, job_out(job))


@router.post(
    f"{_ONE}/files",
    response={202: VolumeJobOut},
    summary="List the files in a folder",
)
def browse(request: HttpRequest, number: int, body: FolderIn) -> Status[VolumeJobOut]:
    person = person_of(request)
    job = copies.browse(person, volume=volume_for(person, number), place=body.place)
    return Status(202, job_out(job))


@router.get(
    f"{_ONE}/jobs/{{job}}",
    response=VolumeJobOut,
    summary="Get the status and result of a job on a volume",
)
def show_job(request: HttpRequest, number: int, job: int) -> VolumeJobOut:
    return job_out(job_for(person_of(request), number, job))


@router.get(
    f"{_ONE}/archive",
    summary="Download the newest archive of the volume; available for an hour",
)
def archive(request: HttpRequest, number: int) -> StreamingHttpResponse:
    volume = volume_for(person_of(request), number)
    job = last_job(volume, JobKind.DOWNLOAD)
    if job is None or job.state != JobState.DONE or not jobs.archive_of(job).exists():
        raise NotFound(
            "This volume has no archive.",
            hint="Archives are deleted after an hour. Create one with the operation `download`.",
        )
    return file_response(
        jobs.archive_of(job), filename=f"{volume.name}.tar.gz", content_type="application/gzip"
    )
