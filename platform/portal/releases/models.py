"""Releases, and the rollouts that move the traffic to them."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from portal.apps.declared import Declared
from portal.apps.models import App
from portal.builds.models import Build


class Release(models.Model):
    """An immutable, numbered release: image, config vars and process types."""

    app = models.ForeignKey(App, on_delete=models.CASCADE, related_name="releases")
    number = models.PositiveIntegerField()  # v1, v2…
    image = models.CharField(max_length=80)
    build = models.ForeignKey(
        Build, null=True, blank=True, on_delete=models.SET_NULL, related_name="releases"
    )
    encrypted_config = models.BinaryField()  # JSON object name -> value, encrypted
    processes = models.JSONField(
        default=dict
    )  # process type -> command; `release` is the release phase
    # the manifest of its build: see portal.apps.declared
    app_file = models.JSONField(default=dict)
    description = models.CharField(
        max_length=200
    )  # "Deploy hello.zip", "Set DEBUG", "Roll back to v3"
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("app", "number"), name="one_release_a_number"),
        )
        indexes = (models.Index(fields=("image",), name="releases_by_image"),)
        ordering = ("-number",)

    @property
    def declared(self) -> Declared:
        """Return the manifest of the release."""
        return Declared.of(self.app_file)


class RolloutState(models.TextChoices):
    PENDING = "pending", "Pending"
    RELEASING = "releasing", "Running release phase"
    LAUNCHING = "launching", "Starting instances"
    LIVE = "live", "Live"
    FAILED = "failed", "Failed"
    # automatically: it failed with a share of the requests, which returned to the old release
    ROLLED_BACK = "rolled_back", "Rolled back"
    SUPERSEDED = "superseded", "Superseded"  # a newer rollout replaced it before it was live

    @property
    def is_over(self) -> bool:
        """Return True if the state cannot change any more."""
        return self is RolloutState.LIVE or self is RolloutState.SUPERSEDED or self.has_failed

    @property
    def has_failed(self) -> bool:
        """Return True if it ended because of an error of its release."""
        return self in FAILURES


# continues a sentence about the release
FAILURES = {
    RolloutState.FAILED: "did not go live",
    RolloutState.ROLLED_BACK: "was rolled back automatically",
}


class Rollout(models.Model):
    """The move of traffic from one release to another. A failed rollout has a reason and leaves the
    old release serving."""

    release = models.ForeignKey(Release, on_delete=models.CASCADE, related_name="rollouts")
    state = models.CharField(
        max_length=12, choices=RolloutState.choices, default=RolloutState.PENDING
    )
    reason = models.TextField(blank=True)
    steps = models.JSONField(default=list)  # [{"at": ISO time, "text": an action's describe()}]
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = (
            models.Index(
                fields=("state",),
                condition=Q(state__in=("pending", "releasing", "launching")),
                name="open_rollouts",
            ),
            models.Index(
                fields=("release",),
                condition=Q(state__in=("failed", "rolled_back")),
                name="failed_rollouts",
            ),
        )
