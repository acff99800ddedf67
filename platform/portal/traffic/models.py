"""Traffic settings of apps: request handling and rollout strategy."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from portal.apps.models import App
from portal.traffic.autoscale import Target


class Way(models.TextChoices):
    """The rollout strategies."""

    ROLLING = "rolling", "Rolling"
    BLUE_GREEN = "blue-green", "Blue-green"
    CANARY = "canary", "Canary"
    RECREATE = "recreate", "Recreate"


def first_steps() -> list[list[int]]:
    """Return the default canary steps: percent of the requests, and seconds for which each share is
    observed."""
    return [[1, 60], [10, 60]]


class TrafficSettings(models.Model):
    """The traffic settings of an app. An app without a row has the defaults. 0 and "" mean: not
    set."""

    app = models.OneToOneField(App, on_delete=models.CASCADE, related_name="traffic_settings")

    way = models.CharField(max_length=12, choices=Way.choices, default=Way.ROLLING)
    # instances above the normal number during a rolling rollout
    surge = models.PositiveSmallIntegerField(default=1)
    canary_steps = models.JSONField(default=first_steps)  # [[percent, seconds], …]
    # requests with this token go to the canary
    preview_token = models.CharField(max_length=64, blank=True)
    drain_seconds = models.PositiveIntegerField(default=30)
    hold_seconds = models.PositiveIntegerField(
        default=30
    )  # how long a request waits for an instance

    # time without a request; 0: never; None: the value of the team's quota
    sleep_minutes = models.PositiveIntegerField(null=True, blank=True)
    # time asleep after which the instances are stopped
    stop_minutes = models.PositiveIntegerField(default=60)
    jobs_keep_awake = models.BooleanField(default=True)  # while a cron job or a run is running
    # while a process type without requests has an instance
    workers_keep_awake = models.BooleanField(default=False)

    autoscale = models.BooleanField(default=False)  # of the process type web
    autoscale_target = models.CharField(
        max_length=8,
        choices=[(target.value, target.label) for target in Target],
        default=Target.REQUESTS.value,
    )
    autoscale_value = models.PositiveIntegerField(default=20)
    autoscale_least = models.PositiveSmallIntegerField(default=1)
    autoscale_most = models.PositiveSmallIntegerField(default=4)

    timeout_seconds = models.PositiveIntegerField(default=0)
    body_limit = models.PositiveBigIntegerField(default=0)  # bytes
    header_limit = models.PositiveIntegerField(default=0)  # bytes
    rate = models.PositiveIntegerField(default=0)  # requests per second, for the whole app
    client_rate = models.PositiveIntegerField(default=0)
    open_limit = models.PositiveIntegerField(default=0)  # requests in flight, for the whole app
    client_open_limit = models.PositiveIntegerField(default=0)

    sticky = models.BooleanField(default=False)
    http2 = models.BooleanField(default=False)  # to the app, without TLS; for gRPC
    # the app keeps idle connections long enough to reuse them
    keep_alive = models.BooleanField(default=False)
    paths = models.JSONField(default=list)  # [[prefix, process type], …]

    canonical_host = models.CharField(max_length=253, blank=True)
    https_only = models.BooleanField(default=False)
    hsts_seconds = models.PositiveIntegerField(default=0)

    allowed = models.JSONField(default=list)  # networks as text; empty: all addresses
    auth_salt = models.CharField(max_length=32, blank=True)
    auth = models.JSONField(
        default=dict
    )  # name -> SHA-256 of salt, name and password; see runtime/router/policy.py

    maintenance = models.BooleanField(default=False)
    maintenance_page = models.TextField(blank=True)  # HTML
    error_page = models.TextField(blank=True)  # HTML
    updated_at = models.DateTimeField(auto_now=True)


class Scaling(models.Model):
    """A decision of autoscaling. `after` is the resulting number of instances; `refused` is the
    reason if it is not `wanted`."""

    app = models.ForeignKey(App, on_delete=models.CASCADE, related_name="scalings")
    at = models.DateTimeField(auto_now_add=True)
    before = models.PositiveSmallIntegerField()
    wanted = models.PositiveSmallIntegerField()
    after = models.PositiveSmallIntegerField()
    reason = models.CharField(max_length=200)  # "37 requests in flight per instance, target 20"
    refused = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ("-id",)


class Nap(models.Model):
    """A sleep period of an app's web instances: frozen at `began_at`, stopped at `stopped_at`,
    awake again at `ended_at`."""

    app = models.ForeignKey(App, on_delete=models.CASCADE, related_name="naps")
    began_at = models.DateTimeField()
    stopped_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)  # null: still asleep
    instances = models.PositiveSmallIntegerField()
    memory = models.PositiveBigIntegerField()  # bytes that all instances used when they fell asleep

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("app", "began_at"), name="one_nap_an_app_and_moment"),
            models.UniqueConstraint(
                fields=("app",), condition=Q(ended_at=None), name="one_open_nap_an_app"
            ),
        )
        ordering = ("-began_at",)
