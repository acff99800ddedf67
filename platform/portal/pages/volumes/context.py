"""The data of the pages of volumes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from portal.apps.models import App
from portal.apps.volumes import Volume
from portal.pages.volumes.forms import AttachForm, NewVolumeForm, SettingsForm
from portal.volumes import jobs
from portal.volumes.access import (
    last_job,
    open_change,
    replaces_all_at_once,
    snapshots_of,
    unattached_volumes_of,
    volumes_of,
)
from portal.volumes.actions import kept_until
from portal.volumes.models import JobKind, JobState, VolumeJob

Context = dict[str, object]
_RESULTS = (JobKind.GROW, JobKind.RESTORE, JobKind.UPLOAD, JobKind.SNAPSHOT, JobKind.DOWNLOAD)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileLine:
    """A file of a list. `place` is the path of a folder that can be opened, else empty."""

    name: str
    kind: str
    size: int
    modified: datetime | None
    link: str
    place: str


def section_context(app: App) -> Context:
    """Return the data of the section of an app's settings."""
    return {
        "volumes": list(volumes_of(app)),
        "unattached": list(unattached_volumes_of(app)),
        "replaces_all_at_once": replaces_all_at_once(app),
        "volume_form": NewVolumeForm(initial={"size": 2**30, "path": "/data"}),
    }


def volume_context(volume: Volume, **changed: object) -> Context:
    """Return the data of the page of one volume. `changed` replaces parts of it."""
    listed = last_job(volume, JobKind.BROWSE)
    archive = last_job(volume, JobKind.DOWNLOAD)
    is_open = open_change(volume) is not None or (
        listed is not None and not JobState(listed.state).is_over
    )
    return {
        "volume": volume,
        "app": volume.app,
        "tab": "settings",
        "kept_until": kept_until(volume) if volume.deleted_at else "",
        "snapshots": list(snapshots_of(volume)),
        "busy": open_change(volume),
        "is_open": is_open,
        "last": _last_result(volume),
        "listed": listed,
        "place": str(listed.arguments["place"]) if listed is not None else "",
        "above": _above(listed),
        "files": _files(listed),
        "archive": archive if _is_available(archive) else None,
        "settings_form": SettingsForm.of(volume),
        "attach_form": AttachForm(volume, initial={"path": volume.path, "app": volume.last_app}),
        **changed,
    }


def _last_result(volume: Volume) -> VolumeJob | None:
    """Return the newest job whose end is shown, unless it is open."""
    last = VolumeJob.objects.filter(volume=volume, kind__in=_RESULTS).order_by("-id").first()
    return last if last is not None and JobState(last.state).is_over else None


def _is_available(job: VolumeJob | None) -> bool:
    return job is not None and job.state == JobState.DONE and jobs.archive_of(job).exists()


def _above(listed: VolumeJob | None) -> str:
    return str(listed.arguments["place"]).rpartition("/")[0] if listed is not None else ""


def _files(listed: VolumeJob | None) -> list[FileLine]:
    if listed is None or listed.state != JobState.DONE:
        return []
    place = str(listed.arguments["place"])
    return [
        FileLine(
            name=each["name"],
            kind=each["kind"],
            size=each["size"],
            modified=_moment(each["modified"]),
            link=each["link"],
            # a name with escapes is not the real one, so it cannot be opened
            place=f"{place}/{each['name']}".lstrip("/")
            if each["kind"] == "folder" and "\\" not in each["name"]
            else "",
        )
        for each in listed.result["files"]
    ]


def _moment(seconds: int) -> datetime | None:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):  # a tenant can set any time
        return None
