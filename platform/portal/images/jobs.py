"""What came of a job, as pages and the API show it, and for how long it is kept."""

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
    """One line of a comparison."""

    kind: str  # A, C or D
    path: str
    size: int

    @property
    def word(self) -> str:
        return {"A": "added", "C": "changed", "D": "deleted"}[self.kind]


def changes_of(job: ImageJob) -> list[ChangedFile]:
    """The files that a comparison names; none while it is under way."""
    return [ChangedFile(kind=kind, path=path, size=size) for kind, path, size in job.result.get("changes", ())]


def left_out(job: ImageJob) -> int:
    """How many more changes there were than are named."""
    return sum(int(job.result.get(name, 0)) for name in ("added", "changed", "deleted")) - len(job.result.get("changes", ()))


def sentence_of(job: ImageJob) -> str:
    """Where it stands, in one sentence."""
    if job.state == JobState.FAILED:
        return f"{job.get_kind_display()} failed."
    if job.state != JobState.DONE:
        return _UNDER_WAY[JobKind(job.kind)]
    if job.kind == JobKind.COMMIT:
        number = job.result.get("release")
        return f"Kept as {job.result['tag']}{f', and on its way as v{number}' if number else ''}."
    if job.kind == JobKind.SAVE:
        return f"{job.result['filename']} is ready."
    parts = [f"{count:,} {word}" for word in ("added", "changed", "deleted") if (count := job.result[word])]
    if parts:
        return f"{', '.join(parts)}."
    return "Nothing was written." if job.kind == JobKind.WRITTEN else "They hold the same files."


_UNDER_WAY = {
    JobKind.COMPARE: "Comparing file by file.",
    JobKind.WRITTEN: "Looking at what it wrote.",
    JobKind.COMMIT: "Making an image of it; the instance stands still for a moment.",
    JobKind.SAVE: "Packing the archive.",
}


def job_context(job: ImageJob) -> dict[str, object]:
    """All that a job's fragment reads."""
    return {"app": job.app, "job": job, "sentence": sentence_of(job), "changes": changes_of(job), "left_out": left_out(job)}


def archive_of(job: ImageJob) -> Path:
    """Where its node writes what is to be downloaded."""
    return Path(settings.DOWNLOADS / f"{job.pk}.tar")


def forget_old() -> None:
    """Delete jobs that were over some time ago, and archives that no job has. For the workers, who own the files."""
    now = timezone.now()
    old = Q(finished_at__lt=now - ANSWER_KEPT) | Q(kind=JobKind.SAVE, finished_at__lt=now - ARCHIVE_KEPT)
    ImageJob.objects.filter(old).delete()
    known = {f"{number}.tar" for number in ImageJob.objects.filter(kind=JobKind.SAVE).values_list("pk", flat=True)}
    for path in settings.DOWNLOADS.glob("*.tar"):
        if path.name not in known:
            path.unlink(missing_ok=True)
