"""Images as the portal knows them: what never changes of each, the names a team gave, and questions that only a node can answer."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from portal.apps.models import App


class Image(models.Model):
    """One image, by the digest of its manifest. The store is its node's; these are facts read from it once."""

    digest = models.CharField(max_length=80, unique=True)
    config = models.JSONField(default=dict)  # how to run it: the keys of portal.images.facts.Config
    created_at = models.DateTimeField(auto_now_add=True)


class ImageLayer(models.Model):
    """One layer of one image. The same layer of another image is another row with the same diff ID."""

    image = models.ForeignKey(Image, on_delete=models.CASCADE, related_name="layers")
    position = models.PositiveSmallIntegerField()  # 0 is the bottom
    diff_id = models.CharField(max_length=80, db_index=True)
    digest = models.CharField(max_length=80)  # of the compressed blob
    size = models.PositiveBigIntegerField()  # bytes, compressed
    unpacked = models.PositiveBigIntegerField()  # bytes of its tar; 0 where that was never noted
    created_by = models.TextField(blank=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("image", "position"), name="one_layer_a_position"),)
        ordering = ("position",)


class ImageTag(models.Model):
    """A name that a team gave an image of an app. The image stays as long as it has one."""

    app = models.ForeignKey(App, on_delete=models.CASCADE, related_name="image_tags")
    name = models.CharField(max_length=64)
    digest = models.CharField(max_length=80)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("app", "name"), name="one_image_a_tag"),)
        ordering = ("name",)


class JobKind(models.TextChoices):
    COMPARE = "compare", "Comparison"  # of the files of two images
    WRITTEN = "written", "What an instance wrote"
    COMMIT = "commit", "Commit"
    SAVE = "save", "Download"


class JobState(models.TextChoices):
    QUEUED = "queued", "Queued"
    WORKING = "working", "Working"
    DONE = "done", "Done"
    FAILED = "failed", "Failed"

    @property
    def is_over(self) -> bool:
        """Whether nothing will change any more."""
        return self in (JobState.DONE, JobState.FAILED)


class ImageJob(models.Model):
    """Something to be done with images on their node, and what came of it; gone some time after that (see portal.images.jobs)."""

    app = models.ForeignKey(App, on_delete=models.CASCADE, related_name="image_jobs")
    kind = models.CharField(max_length=10, choices=JobKind.choices)
    about = models.CharField(max_length=200)  # what tells it from others of its kind: "sha256:… sha256:…", an instance, a digest and a form
    arguments = models.JSONField(default=dict)
    state = models.CharField(max_length=10, choices=JobState.choices, default=JobState.QUEUED)
    reason = models.TextField(blank=True)  # of a failed one
    result = models.JSONField(default=dict)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = (models.Index(fields=("app", "kind", "about"), name="image_jobs_by_question"),)
