"""Tags, attachments and SHA-512 digests of the registry. Blobs are files; see blob_store.py."""

from __future__ import annotations

from django.db import models

from portal.accounts.models import Team
from portal.apps.models import App


class Tag(models.Model):
    """A tag with which an image was pushed. `v1`, `v2`… have no rows: they are the releases."""

    app = models.ForeignKey(App, on_delete=models.CASCADE, related_name="tags")
    name = models.CharField(max_length=128)
    digest = models.CharField(max_length=64)  # hex of the manifest
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("app", "name"), name="one_digest_a_tag"),)


class Alias(models.Model):
    """The SHA-512 digest of a blob that was pushed under it. The blob's file has its SHA-256."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="aliases")
    digest = models.CharField(max_length=128)  # hex of SHA-512
    stored = models.CharField(max_length=64)  # hex of SHA-256
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("team", "digest"), name="one_blob_an_alias"),
        )
        indexes = (models.Index(fields=("team", "stored"), name="aliases_by_blob"),)


class Attachment(models.Model):
    """A manifest that is not deployed itself: a signature, a bill of materials, an index. Kept
    until it or its app is deleted, or no tag needs it if it is a cover."""

    app = models.ForeignKey(App, on_delete=models.CASCADE, related_name="attachments")
    digest = models.CharField(max_length=64)  # hex of the manifest
    # hex of the manifest that it refers to, as the client gave it; empty for none
    subject = models.CharField(max_length=128, blank=True)
    media_type = models.CharField(max_length=255)
    artifact_type = models.CharField(max_length=255, blank=True)
    size = models.PositiveIntegerField()  # bytes of the manifest
    annotations = models.JSONField(default=dict)
    blobs = models.JSONField(default=list)  # hex of all its parts, including the manifest
    # It only names parts of images: an index, or an image whose deployed manifest differs.
    is_cover = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("app", "digest"), name="one_attachment_a_digest"),
        )
        indexes = (models.Index(fields=("app", "subject"), name="attachments_by_subject"),)
