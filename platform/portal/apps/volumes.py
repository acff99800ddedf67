"""Volumes and their snapshots: persistent folders of apps. `portal.volumes` changes them.

A volume belongs to a team, and outlives its app. The node has the data itself.
"""

from __future__ import annotations

from datetime import timedelta

from django.db import models
from django.db.models import Q, Sum

from portal.accounts.models import Team

KEPT = timedelta(days=7)  # how long a deleted volume can be restored


class VolumeState(models.TextChoices):
    CREATING = "creating", "Creating"  # the node has no data yet
    READY = "ready", "Ready"
    FAILED = "failed", "Failed"  # it could not be created
    REMOVING = "removing", "Removing"  # its data is being deleted now


class Volume(models.Model):
    """A persistent folder. Its number is its primary key, which is never used again."""

    id = models.BigAutoField(primary_key=True)
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="volumes")
    # None: detached, or deleted
    app = models.ForeignKey(
        "apps.App", null=True, blank=True, on_delete=models.SET_NULL, related_name="volumes"
    )
    last_app = models.CharField(max_length=40, blank=True)  # the app that had it last
    name = models.CharField(max_length=40)
    size = models.PositiveBigIntegerField()  # bytes
    path = models.CharField(max_length=200)
    processes = models.JSONField(default=list)  # process types that get it; empty: all
    # old and new instances may use it at the same time during a rollout
    overlap = models.BooleanField(default=False)
    state = models.CharField(
        max_length=10, choices=VolumeState.choices, default=VolumeState.CREATING
    )
    reason = models.TextField(blank=True)  # of a failed creation
    used = models.PositiveBigIntegerField(null=True, blank=True)  # bytes, as last reported
    created_at = models.DateTimeField(auto_now_add=True)
    deleted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("app", "name"), condition=Q(app__isnull=False), name="one_volume_a_name"
            ),
            models.UniqueConstraint(
                fields=("app", "path"), condition=Q(app__isnull=False), name="one_volume_a_path"
            ),
        )
        indexes = (models.Index(fields=("team", "app"), name="volumes_of_a_team"),)

    def __str__(self) -> str:
        return self.name


class Snapshot(models.Model):
    """A copy of a volume at one time. It counts in the quota like the volume of that time."""

    id = models.BigAutoField(primary_key=True)
    volume = models.ForeignKey(Volume, on_delete=models.CASCADE, related_name="snapshots")
    note = models.CharField(max_length=80, blank=True)
    size = models.PositiveBigIntegerField()  # bytes, of the volume
    taken = models.PositiveBigIntegerField(null=True, blank=True)  # bytes on disk; None: not yet
    created_at = models.DateTimeField(auto_now_add=True)


def stored_bytes() -> dict[int, int]:
    """Return the sizes of all volumes and snapshots, in bytes by team.

    Deleted volumes count until their data is deleted.
    """
    sums: dict[int, int] = {}
    for rows in (
        Volume.objects.order_by()
        .values("team")
        .annotate(all=Sum("size"))
        .values_list("team", "all"),
        Snapshot.objects.order_by()
        .values("volume__team")
        .annotate(all=Sum("size"))
        .values_list("volume__team", "all"),
    ):
        for team, size in rows:
            sums[team] = sums.get(team, 0) + size
    return sums


def stored_bytes_of(team: Team) -> int:
    """Return the size of all volumes and snapshots of a team in bytes."""
    volumes = Volume.objects.filter(team=team).aggregate(all=Sum("size"))["all"]
    snapshots = Snapshot.objects.filter(volume__team=team).aggregate(all=Sum("size"))["all"]
    return (volumes or 0) + (snapshots or 0)
