"""Sources, and the builds of sources."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from portal.apps.models import App


class SourceKind(models.TextChoices):
    ARCHIVE = "archive", "Archive"  # code; its bytes are in the sources folder
    PUSHED = "pushed", "Pushed image"  # its parts are in the registry's folder of received blobs
    REFERRED = "referred", "Image from another registry"  # only a name; the worker pulls it
    GIT = "git", "Git repository"  # only an address; the worker fetches it


class Source(models.Model):
    """The input of a build: an archive (by its SHA-256), an image (by its manifest's digest),
    the name of an image elsewhere, or the address of a Git repository."""

    kind = models.CharField(max_length=10, choices=SourceKind.choices, default=SourceKind.ARCHIVE)
    digest = models.CharField(max_length=64)  # hex; for a name, the digest of the name
    # as uploaded; an archive's extension is its format. For an image: TEAM/APP:TAG or
    # HOST/NAME:TAG.
    # For a Git repository: ADDRESS#BRANCH.
    filename = models.CharField(max_length=255)
    size = models.PositiveBigIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        # The same bytes with another extension are another source, because the extension decides
        # how to unpack them. The file is shared.
        constraints = (
            models.UniqueConstraint(
                fields=("digest", "filename"), name="one_source_a_digest_and_name"
            ),
        )


class Repository(models.Model):
    """The Git repository elsewhere that an app is deployed from."""

    app = models.OneToOneField(App, on_delete=models.CASCADE, related_name="repository")
    address = models.CharField(max_length=500)  # https://HOST/PATH.git
    branch = models.CharField(max_length=200, blank=True)  # or a tag; empty: its default branch
    encrypted_token = models.BinaryField(null=True)
    updated_at = models.DateTimeField(auto_now=True)

    @property
    def has_token(self) -> bool:
        return bool(self.encrypted_token)


class BuildState(models.TextChoices):
    QUEUED = "queued", "Queued"
    BUILDING = "building", "Building"
    SUCCEEDED = "succeeded", "Succeeded"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"

    @property
    def is_over(self) -> bool:
        """Return True if the state cannot change any more."""
        return self in (BuildState.SUCCEEDED, BuildState.FAILED, BuildState.CANCELLED)


class Origin(models.TextChoices):
    UPLOAD = "upload", "Upload"
    GIT = "git", "git push"
    API = "api", "API"
    PUSH = "push", "docker push"


class Build(models.Model):
    """A build turns a source into an image. Its log is a file named after the row's id. A failed
    build has a reason."""

    app = models.ForeignKey(App, on_delete=models.CASCADE, related_name="builds")
    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="builds")
    origin = models.CharField(max_length=10, choices=Origin.choices)
    description = models.CharField(
        max_length=200, blank=True
    )  # archive name, or commit and its subject
    commit = models.CharField(max_length=64, blank=True, default="")  # its full hash, if known
    author = models.CharField(max_length=200, blank=True, default="")  # of the commit
    state = models.CharField(max_length=10, choices=BuildState.choices, default=BuildState.QUEUED)
    reason = models.TextField(blank=True)
    image = models.CharField(max_length=80, blank=True)  # manifest digest, sha256:…
    processes = models.JSONField(default=dict)  # process type -> command, as detected
    # JSON object, for the registry of its image or its Git repository; deleted when the build ends
    encrypted_credentials = models.BinaryField(null=True)
    # the content of slipway.toml or app.json: see portal.apps.declared
    app_file = models.JSONField(default=dict)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = (
            models.Index(fields=("app", "-created_at"), name="builds_of_an_app"),
            models.Index(fields=("state",), name="builds_by_state"),
            models.Index(
                fields=("app", "id"),
                condition=models.Q(state__in=("queued", "building", "failed")),
                name="unsettled_builds",
            ),
        )
