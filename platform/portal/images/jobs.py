"""The results of image jobs, as pages and the API show them, and their retention."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from portal.images.models import ImageJob, JobKind, JobState

ARCHIVE_KEPT = timedelta(hours=1)
ANSWER_KEPT = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedFile:
    """One file of a comparison."""

    kind: str  # A, C or D
    path: str
    size: int

    @property
    def word(self) -> str:
        return {"A": "added", "C": "changed", "D": "deleted"}[self.kind]


def changes_of(job: ImageJob) -> list[ChangedFile]:
    """Return the files of a comparison. Empty until the job is done."""
    return [
        ChangedFile(kind=kind, path=path, size=size)
        for kind, path, size in job.result.get("changes", ())
    ]


def left_out(job: ImageJob) -> int:
    """Return the number of changes that are not listed."""
    return sum(int(job.result.get(name, 0)) for name in ("added", "changed", "deleted")) - len(
        job.result.get("changes", ())
    )


def sentence_of(job: ImageJob) -> str:
    """Describe the state of a job in one sentence."""
    if job.state == JobState.FAILED:
        return f"{job.get_kind_display()} failed."
    if job.state != JobState.DONE:
        return _UNDER_WAY[JobKind(job.kind)]
    if job.kind == JobKind.COMMIT:
        number = job.result.get("release")
        return f"Saved as {job.result['tag']}{f', and deployed as v{number}' if number else ''}."
    if job.kind == JobKind.SAVE:
        return f"{job.result['filename']} is ready."
    parts = [
        f"{count:,} {word}"
        for word in ("added", "changed", "deleted")
        if (count := job.result[word])
    ]
    if parts:
        return f"{', '.join(parts)}."
    return (
        "No files were changed."
        if job.kind == JobKind.WRITTEN
        else "Both images have the same files."
    )


_UNDER_WAY = {
    JobKind.COMPARE: "Comparing the files.",
    JobKind.WRITTEN: "Listing the changed files.",
    JobKind.COMMIT: "Creating the image. The instance is paused for a moment.",
    JobKind.SAVE: "Creating the archive.",
}


def job_context(job: ImageJob) -> dict[str, object]:
    """Return the context of a job's template."""
    return {
        "app": job.app,
        "job": job,
        "sentence": sentence_of(job),
        "changes": changes_of(job),
        "left_out": left_out(job),
    }


def archive_of(job: ImageJob) -> Path:
    """Return the path to which the node writes the archive."""
    return Path(settings.DOWNLOADS / f"{job.pk}.tar")


def forget_old() -> None:
    """Delete old finished jobs, and archives without a job. For the workers, who own the files."""
    now = timezone.now()
    old = Q(finished_at__lt=now - ANSWER_KEPT) | Q(
        kind=JobKind.SAVE, finished_at__lt=now - ARCHIVE_KEPT
    )
    ImageJob.objects.filter(old).delete()
    known = {
        f"{number}.tar"
        for number in ImageJob.objects.filter(kind=JobKind.SAVE).values_list("pk", flat=True)
    }
    for path in settings.DOWNLOADS.glob("*.tar"):
        if path.name not in known:
            path.unlink(missing_ok=True)
