"""How an app's requests are treated on their way, and how traffic moves from one release to the next."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from portal.apps.models import App
from portal.traffic.autoscale import Target


class Way(models.TextChoices):
    """Of moving traffic to a new release."""

    ROLLING = "rolling", "Rolling"
    BLUE_GREEN = "blue-green", "Blue-green"
    CANARY = "canary", "Canary"
    RECREATE = "recreate", "Recreate"


def first_steps() -> list[list[int]]:
    """A canary's steps unless somebody says otherwise: percent of the requests, and seconds that each is watched."""
    return [[1, 60], [10, 60]]


class TrafficSettings(models.Model):
    """An app's wishes of the router and of its rollouts; an app without a row has the defaults. 0 and "" mean: not wanted."""

    app = models.OneToOneField(App, on_delete=models.CASCADE, related_name="traffic_settings")

    way = models.CharField(max_length=12, choices=Way.choices, default=Way.ROLLING)
    surge = models.PositiveSmallIntegerField(default=1)  # instances above the wanted number while rolling
    canary_steps = models.JSONField(default=first_steps)  # [[percent, seconds], …]
    preview_token = models.CharField(max_length=64, blank=True)  # who shows it meets the canary
    drain_seconds = models.PositiveIntegerField(default=30)
    hold_seconds = models.PositiveIntegerField(default=30)  # how long a request waits for an instance

    sleep_minutes = models.PositiveIntegerField(null=True, blank=True)  # without a request; 0: never; None: as the team's quota says
    stop_minutes = models.PositiveIntegerField(default=60)  # asleep, after which instances are stopped
    jobs_keep_awake = models.BooleanField(default=True)  # while a cron job or a run is at work
    workers_keep_awake = models.BooleanField(default=False)  # as long as a process type without requests has an instance

    autoscale = models.BooleanField(default=False)  # of web
    autoscale_target = models.CharField(max_length=8, choices=[(one.value, one.label) for one in Target], default=Target.REQUESTS.value)
    autoscale_value = models.PositiveIntegerField(default=20)
    autoscale_least = models.PositiveSmallIntegerField(default=1)
    autoscale_most = models.PositiveSmallIntegerField(default=4)

    timeout_seconds = models.PositiveIntegerField(default=0)
    body_limit = models.PositiveBigIntegerField(default=0)  # bytes
    header_limit = models.PositiveIntegerField(default=0)  # bytes
    rate = models.PositiveIntegerField(default=0)  # requests a second, of the whole app
    client_rate = models.PositiveIntegerField(default=0)
    open_limit = models.PositiveIntegerField(default=0)  # requests in flight, of the whole app
    client_open_limit = models.PositiveIntegerField(default=0)

    sticky = models.BooleanField(default=False)
    http2 = models.BooleanField(default=False)  # to the app, without TLS: gRPC
    keep_alive = models.BooleanField(default=False)  # it keeps idle connections long enough for them to be used again
    paths = models.JSONField(default=list)  # [[prefix, process type], …]

    canonical_host = models.CharField(max_length=253, blank=True)
    https_only = models.BooleanField(default=False)
    hsts_seconds = models.PositiveIntegerField(default=0)

    allowed = models.JSONField(default=list)  # networks, as text; empty: everybody
    auth_salt = models.CharField(max_length=32, blank=True)
    auth = models.JSONField(default=dict)  # name -> SHA-256 of salt, name and password; see runtime/router/policy.py

    maintenance = models.BooleanField(default=False)
    maintenance_page = models.TextField(blank=True)  # HTML
    error_page = models.TextField(blank=True)  # HTML
    updated_at = models.DateTimeField(auto_now=True)


class Scaling(models.Model):
    """One decision of autoscaling: `after` is what there is since then, `refused` why it is not `wanted`."""

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
    """One time that an app's web instances slept: frozen from `began_at`, stopped from `stopped_at`, awake again at `ended_at`."""

    app = models.ForeignKey(App, on_delete=models.CASCADE, related_name="naps")
    began_at = models.DateTimeField()
    stopped_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)  # null: it sleeps
    instances = models.PositiveSmallIntegerField()
    memory = models.PositiveBigIntegerField()  # bytes that all of them used when they fell asleep

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("app", "began_at"), name="one_nap_an_app_and_moment"),
            models.UniqueConstraint(fields=("app",), condition=Q(ended_at=None), name="one_open_nap_an_app"),
        )
        ordering = ("-began_at",)
