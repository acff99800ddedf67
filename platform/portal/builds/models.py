"""Sources and the builds made from them."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from portal.apps.models import App


class SourceKind(models.TextChoices):
    ARCHIVE = "archive", "Archive"  # of code; its bytes lie in the sources folder
    PUSHED = "pushed", "Pushed image"  # its parts lie where the registry received them
    REFERRED = "referred", "Image of another registry"  # named; the worker fetches it


class Source(models.Model):
    """What one deploy is made of: an archive by its SHA-256, an image by the digest of its manifest, or the name of one elsewhere."""

    kind = models.CharField(max_length=10, choices=SourceKind.choices, default=SourceKind.ARCHIVE)
    digest = models.CharField(max_length=64)  # hex; of a name, that of its bytes
    filename = models.CharField(
        max_length=255
    )  # as uploaded; its ending tells the archive's kind. Of an image: TEAM/APP:TAG, HOST/NAME:TAG
    size = models.PositiveBigIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        # Same bytes, other ending: another source, since the ending tells how to unpack them. The file is shared.
        constraints = (models.UniqueConstraint(fields=("digest", "filename"), name="one_source_a_digest_and_name"),)


class BuildState(models.TextChoices):
    QUEUED = "queued", "Queued"
    BUILDING = "building", "Building"
    SUCCEEDED = "succeeded", "Succeeded"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"

    @property
    def is_over(self) -> bool:
        """Whether nothing will change any more."""
        return self in (BuildState.SUCCEEDED, BuildState.FAILED, BuildState.CANCELLED)


class Origin(models.TextChoices):
    UPLOAD = "upload", "Upload"
    GIT = "git", "git push"
    API = "api", "API"
    PUSH = "push", "docker push"


class Build(models.Model):
    """Turns a source into an image. The log is a file named after the row's id; a failed one carries its reason."""

    app = models.ForeignKey(App, on_delete=models.CASCADE, related_name="builds")
    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="builds")
    origin = models.CharField(max_length=10, choices=Origin.choices)
    description = models.CharField(max_length=200, blank=True)  # archive name, or commit and its subject
    state = models.CharField(max_length=10, choices=BuildState.choices, default=BuildState.QUEUED)
    reason = models.TextField(blank=True)
    image = models.CharField(max_length=80, blank=True)  # manifest digest, sha256:…
    processes = models.JSONField(default=dict)  # process type -> command, as detected
    encrypted_credentials = models.BinaryField(null=True)  # JSON object, for the registry of its image; erased when the build is over
    app_file = models.JSONField(default=dict)  # what slipway.toml or app.json says: see portal.releases.declared
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = (
            models.Index(fields=("app", "-created_at"), name="builds_of_an_app"),
            models.Index(fields=("state",), name="builds_by_state"),
        )
