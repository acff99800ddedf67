"""Images: their constant facts, their tags, and jobs that only a node can do."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from portal.apps.models import App


class Image(models.Model):
    """An image, by the digest of its manifest. The node has the image itself; the facts were read
    from it once."""

    digest = models.CharField(max_length=80, unique=True)
    # the run configuration: the keys of portal.images.facts.Config
    config = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)


class ImageLayer(models.Model):
    """A layer of an image. The same layer of another image is another row with the same diff ID."""

    image = models.ForeignKey(Image, on_delete=models.CASCADE, related_name="layers")
    position = models.PositiveSmallIntegerField()  # 0 is the bottom layer
    diff_id = models.CharField(max_length=80)
    digest = models.CharField(max_length=80)  # of the compressed blob
    size = models.PositiveBigIntegerField()  # bytes, compressed
    unpacked = models.PositiveBigIntegerField()  # bytes of its tar; 0 if not known
    created_by = models.TextField(blank=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("image", "position"), name="one_layer_a_position"),
        )
        # finds the newest images that have a layer
        indexes = (models.Index(fields=("diff_id", "image"), name="images_of_a_layer"),)
        ordering = ("position",)


class ImageTag(models.Model):
    """A name that a team gave to an image of an app. An image is kept as long as it has a tag."""

    app = models.ForeignKey(App, on_delete=models.CASCADE, related_name="image_tags")
    name = models.CharField(max_length=64)
    digest = models.CharField(max_length=80)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("app", "name"), name="one_image_a_tag"),)
        indexes = (models.Index(fields=("digest",), name="tags_by_image"),)
        ordering = ("name",)


class JobKind(models.TextChoices):
    COMPARE = "compare", "Comparison"  # compares the files of two images
    WRITTEN = "written", "Filesystem changes of an instance"
    COMMIT = "commit", "Commit"
    SAVE = "save", "Download"


class JobState(models.TextChoices):
    QUEUED = "queued", "Queued"
    WORKING = "working", "Working"
    DONE = "done", "Done"
    FAILED = "failed", "Failed"

    @property
    def is_over(self) -> bool:
        """Return True if the state cannot change any more."""
        return self in (JobState.DONE, JobState.FAILED)


class ImageJob(models.Model):
    """A job on images, run by their node, and its result. Deleted some time after its end (see
    portal.images.jobs)."""

    app = models.ForeignKey(App, on_delete=models.CASCADE, related_name="image_jobs")
    kind = models.CharField(max_length=10, choices=JobKind.choices)
    # the subject of the job: "sha256:… sha256:…", an instance, or a digest and a format
    about = models.CharField(max_length=200)
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
        indexes = (models.Index(fields=("app", "kind", "about"), name="image_jobs_by_question"),)
