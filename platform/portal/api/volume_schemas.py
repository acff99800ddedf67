"""Schemas of volumes in the API, and the conversion of rows to them."""

from __future__ import annotations

from datetime import datetime

from ninja import Field, Schema

from portal.api.schemas import RequestSchema
from portal.apps.volumes import Snapshot, Volume
from portal.volumes.models import VolumeJob


class VolumeIn(RequestSchema):
    """A new volume. `size` is in bytes. Without `processes`, all process types get it."""

    name: str
    path: str
    size: int
    processes: list[str] = Field(default_factory=list)
    overlap: bool = False


class VolumeChangeIn(RequestSchema):
    """Changes of a volume; null keeps a value. A volume cannot become smaller."""

    size: int | None = None
    path: str | None = None
    processes: list[str] | None = None
    overlap: bool | None = None


class AttachIn(RequestSchema):
    """The app, and another path or other process types if they change."""

    app: str
    path: str = ""
    processes: list[str] | None = None


class SnapshotIn(RequestSchema):
    note: str = ""


class CloneIn(RequestSchema):
    name: str
    snapshot: int | None = None


class FolderIn(RequestSchema):
    """A folder below the volume; "" is the volume itself."""

    place: str = ""


class VolumeOut(Schema):
    """A volume. Sizes are in bytes. `used` is null until the node has reported it."""

    number: int
    team: str
    app: str | None  # null: detached or deleted
    last_app: str
    name: str
    path: str
    size: int
    used: int | None
    processes: list[str]
    overlap: bool
    rollout: str  # overlap, or stop-then-start
    state: str  # creating, ready, failed or removing
    reason: str
    created_at: datetime
    deleted_at: datetime | None


class SnapshotOut(Schema):
    """A snapshot. `bytes` is its size on the node's disk; null until it is complete."""

    number: int
    note: str
    size: int
    bytes: int | None
    created_at: datetime


class FileOut(Schema):
    """A name in a folder. Bytes that are not valid text are escaped. Links are not followed."""

    name: str
    kind: str  # folder, file, link or other
    size: int
    modified: int
    link: str


class VolumeJobOut(Schema):
    """A job on a volume, run by its node. `whole` is false if a folder has more files."""

    id: int
    kind: str
    state: str  # queued, working, done or failed
    reason: str
    created_at: datetime
    finished_at: datetime | None
    files: list[FileOut]
    whole: bool | None
    count: int | None  # files in an archive
    left_out: int | None  # entries of other types that were left out
    bytes: int | None


def volume_out(row: Volume) -> VolumeOut:
    return VolumeOut(
        number=row.pk,
        team=row.team.name,
        app=row.app.name if row.app is not None else None,
        last_app=row.last_app,
        name=row.name,
        path=row.path,
        size=row.size,
        used=row.used,
        processes=row.processes,
        overlap=row.overlap,
        rollout="overlap" if row.overlap else "stop-then-start",
        state=row.state,
        reason=row.reason,
        created_at=row.created_at,
        deleted_at=row.deleted_at,
    )


def snapshot_out(row: Snapshot) -> SnapshotOut:
    return SnapshotOut(
        number=row.pk, note=row.note, size=row.size, bytes=row.taken, created_at=row.created_at
    )


def job_out(job: VolumeJob) -> VolumeJobOut:
    found = job.result.get("files", [])
    listed = found if isinstance(found, list) else []
    return VolumeJobOut(
        id=job.pk,
        kind=job.kind,
        state=job.state,
        reason=job.reason,
        created_at=job.created_at,
        finished_at=job.finished_at,
        files=[FileOut(**each) for each in listed],
        whole=job.result.get("whole"),
        count=found if isinstance(found, int) else None,
        left_out=job.result.get("left_out"),
        bytes=job.result.get("bytes"),
    )
