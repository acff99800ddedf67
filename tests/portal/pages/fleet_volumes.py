"""Sample volumes of an app: attached with files and a snapshot, detached, and deleted."""

from __future__ import annotations

from django.conf import settings
from django.utils import timezone

from portal.apps.models import App
from portal.apps.volumes import Snapshot, Volume, VolumeState
from portal.volumes.jobs import archive_of
from portal.volumes.models import JobKind, JobState, VolumeJob

FILES = [
    {"name": name, "kind": kind, "size": 4096, "modified": 1_700_000_000, "link": link}
    for name, kind, link in (
        ("2024", "folder", ""),
        ("a-very-long-name-" * 12, "file", ""),
        ("latest", "link", "../../etc/passwd"),
        ("queue", "other", ""),
    )
]


def fill(app: App) -> dict[str, int]:
    """Create an attached volume with a snapshot and an archive, a detached and a deleted one."""
    ready = {"team": app.team, "last_app": app.name, "size": 2**26, "state": VolumeState.READY}
    volume = Volume.objects.create(app=app, name="uploads", path="/data", **ready)
    loose = Volume.objects.create(name="loose", path="/loose", **ready)
    deleted = Volume.objects.create(
        name="deleted", path="/deleted", deleted_at=timezone.now(), **ready
    )
    VolumeJob.objects.create(
        volume=volume,
        kind=JobKind.BROWSE,
        arguments={"place": "images"},
        state=JobState.DONE,
        result={"files": FILES, "whole": False},
        finished_at=timezone.now(),
    )
    snapshot = Snapshot.objects.create(volume=volume, size=2**26, taken=1)
    download = VolumeJob.objects.create(
        volume=volume,
        kind=JobKind.DOWNLOAD,
        state=JobState.DONE,
        result={"bytes": 3, "files": 1, "left_out": 0},
        finished_at=timezone.now(),
    )
    settings.DOWNLOADS.mkdir(parents=True, exist_ok=True)
    archive_of(download).write_bytes(b"tar")
    return {
        "volume": volume.pk,
        "loose": loose.pk,
        "deleted": deleted.pk,
        "snapshot": snapshot.pk,
        "download": download.pk,
    }
