"""Tags and attachments of the registry. Blobs are files; see shelf.py."""

from __future__ import annotations

from django.db import models

from portal.apps.models import App


class Tag(models.Model):
    """A tag with which an image was pushed. `v1`, `v2`… have no rows: they are the releases."""

    app = models.ForeignKey(App, on_delete=models.CASCADE, related_name="tags")
    name = models.CharField(max_length=128)
    digest = models.CharField(max_length=64)  # hex of the manifest
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("app", "name"), name="one_digest_a_tag"),)


class Attachment(models.Model):
    """A manifest that is not a runnable image: a signature or a bill of materials. Kept until it or
    its app is deleted."""

    app = models.ForeignKey(App, on_delete=models.CASCADE, related_name="attachments")
    digest = models.CharField(max_length=64)  # hex of the manifest
    # hex of the manifest that it refers to; empty for none
    subject = models.CharField(max_length=64, blank=True)
    media_type = models.CharField(max_length=255)
    artifact_type = models.CharField(max_length=255, blank=True)
    size = models.PositiveIntegerField()  # bytes of the manifest
    annotations = models.JSONField(default=dict)
    blobs = models.JSONField(default=list)  # hex of all its parts, including the manifest
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("app", "digest"), name="one_attachment_a_digest"),
        )
        indexes = (models.Index(fields=("app", "subject"), name="attachments_by_subject"),)
