"""What the registry knows beside releases: names people gave to images, and what they attached to them. Blobs are files; see shelf.py."""

from __future__ import annotations

from django.db import models

from portal.apps.models import App


class Tag(models.Model):
    """A name under which an image was pushed. `v1`, `v2`… are no rows: the releases themselves are those."""

    app = models.ForeignKey(App, on_delete=models.CASCADE, related_name="tags")
    name = models.CharField(max_length=128)
    digest = models.CharField(max_length=64)  # hex, of the manifest
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("app", "name"), name="one_digest_a_tag"),)


class Attachment(models.Model):
    """A manifest that is no image to run: a signature, a bill of materials. Kept until it is deleted, or its app is."""

    app = models.ForeignKey(App, on_delete=models.CASCADE, related_name="attachments")
    digest = models.CharField(max_length=64)  # hex, of the manifest
    subject = models.CharField(max_length=64, blank=True)  # hex of the manifest it is about; empty for none
    media_type = models.CharField(max_length=255)
    artifact_type = models.CharField(max_length=255, blank=True)
    size = models.PositiveIntegerField()  # bytes of the manifest
    annotations = models.JSONField(default=dict)
    blobs = models.JSONField(default=list)  # hex of everything it consists of, the manifest included
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("app", "digest"), name="one_attachment_a_digest"),)
        indexes = (models.Index(fields=("app", "subject"), name="attachments_by_subject"),)
