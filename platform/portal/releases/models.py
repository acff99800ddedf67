"""Releases and the rollouts that bring them to traffic."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from portal.apps.models import App
from portal.builds.models import Build
from portal.releases.declared import Declared


class Release(models.Model):
    """Immutable and numbered: image + config vars + process types."""

    app = models.ForeignKey(App, on_delete=models.CASCADE, related_name="releases")
    number = models.PositiveIntegerField()  # v1, v2…
    image = models.CharField(max_length=80)
    build = models.ForeignKey(Build, null=True, blank=True, on_delete=models.SET_NULL, related_name="releases")
    encrypted_config = models.BinaryField()  # JSON object name -> value, encrypted
    processes = models.JSONField(default=dict)  # process type -> command; `release` is the release phase
    app_file = models.JSONField(default=dict)  # of the build it stands on: see portal.releases.declared
    description = models.CharField(max_length=200)  # "Deploy hello.zip", "Set DEBUG", "Roll back to v3"
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("app", "number"), name="one_release_a_number"),)
        ordering = ("-number",)

    @property
    def declared(self) -> Declared:
        """What its app's file said."""
        return Declared.of(self.app_file)


class RolloutState(models.TextChoices):
    PENDING = "pending", "Pending"
    RELEASING = "releasing", "Running release phase"
    LAUNCHING = "launching", "Starting instances"
    LIVE = "live", "Live"
    FAILED = "failed", "Failed"
    ROLLED_BACK = "rolled_back", "Rolled back"  # by itself: it failed with a share of the requests, which went back to the old release
    SUPERSEDED = "superseded", "Superseded"  # a newer rollout took its place before it was live

    @property
    def is_over(self) -> bool:
        """Whether nothing will change any more."""
        return self is RolloutState.LIVE or self is RolloutState.SUPERSEDED or self.has_failed

    @property
    def has_failed(self) -> bool:
        """Whether it ended for a fault of its release."""
        return self in FAILURES


FAILURES = {RolloutState.FAILED: "did not go live", RolloutState.ROLLED_BACK: "was rolled back by itself"}  # said of the release


class Rollout(models.Model):
    """Moving traffic from one release to another. A failed one carries its reason and leaves the old serving."""

    release = models.ForeignKey(Release, on_delete=models.CASCADE, related_name="rollouts")
    state = models.CharField(max_length=12, choices=RolloutState.choices, default=RolloutState.PENDING)
    reason = models.TextField(blank=True)
    steps = models.JSONField(default=list)  # [{"at": ISO time, "text": an action's describe()}]
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)
