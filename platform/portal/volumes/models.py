"""Jobs on volumes, which their node runs."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from portal.apps.volumes import Volume


class JobKind(models.TextChoices):
    CREATE = "create", "Create"
    GROW = "grow", "Grow"
    SNAPSHOT = "snapshot", "Snapshot"
    RESTORE = "restore", "Restore"
    CLONE = "clone", "Clone"
    DOWNLOAD = "download", "Download"
    UPLOAD = "upload", "Upload"
    BROWSE = "browse", "List of files"
    FORGET_SNAPSHOT = "forget", "Delete a snapshot"


class JobState(models.TextChoices):
    QUEUED = "queued", "Queued"
    WORKING = "working", "Working"
    DONE = "done", "Done"
    FAILED = "failed", "Failed"

    @property
    def is_over(self) -> bool:
        """Return True if the state cannot change any more."""
        return self in (JobState.DONE, JobState.FAILED)


class VolumeJob(models.Model):
    """A job on a volume, and its result. Deleted some time after its end (see
    portal.volumes.jobs)."""

    volume = models.ForeignKey(Volume, on_delete=models.CASCADE, related_name="jobs")
    kind = models.CharField(max_length=10, choices=JobKind.choices)
    arguments = models.JSONField(default=dict)
    state = models.CharField(max_length=10, choices=JobState.choices, default=JobState.QUEUED)
    reason = models.TextField(blank=True)  # of a failed job
    result = models.JSONField(default=dict)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = (models.Index(fields=("volume", "kind"), name="volume_jobs_by_kind"),)
