"""Apps, their config vars, formation and health checks."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Coalesce

from portal.accounts.models import Team
from portal.apps.volumes import Snapshot, Volume

__all__ = ["Snapshot", "Volume"]  # Django finds their tables here

# an app's name at its nodes, as App.handle
HANDLE = Coalesce("node_name", "name")


class App(models.Model):
    """An app. `name` is a DNS label and unique on the platform, because it is part of a
    hostname."""

    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="apps")
    name = models.CharField(max_length=40, unique=True)
    # the name at its nodes: the first name of a renamed app; null: `name`. See `handle`
    node_name = models.CharField(max_length=40, unique=True, null=True, default=None)
    description = models.CharField(max_length=300, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)
    current_release = models.ForeignKey(
        "releases.Release", null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    generation = models.PositiveIntegerField(default=0)  # increased by "restart"
    # the branch whose pushes deploy; empty: main and master
    deploy_branch = models.CharField(max_length=100, blank=True, default="")
    # set immediately; the row is deleted when its node has removed the app
    deleted_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.name

    @property
    def handle(self) -> str:
        """Return the name that nodes use for containers, logs, routes and metrics. It never
        changes."""
        return self.node_name or self.name


class FormerName(models.Model):
    """A name that an app had before it was renamed. No other app gets it while this one exists."""

    app = models.ForeignKey(App, on_delete=models.CASCADE, related_name="former_names")
    name = models.CharField(max_length=40, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)


class SecretName(models.Model):
    """The name of a config var whose value is write-only. It stays secret after its removal,
    because earlier releases have the value."""

    app = models.ForeignKey(App, on_delete=models.CASCADE, related_name="secret_names")
    name = models.CharField(max_length=128)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("app", "name"), name="one_secret_flag_a_name"),
        )


class ConfigVar(models.Model):
    """An environment variable of an app's next release. The value is encrypted at rest."""

    app = models.ForeignKey(App, on_delete=models.CASCADE, related_name="config_vars")
    name = models.CharField(max_length=128)
    encrypted_value = models.BinaryField()
    while_building = models.BooleanField(default=True)  # build steps see it too
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("app", "name"), name="one_value_a_config_var"),
        )


class GeneratedSecret(models.Model):
    """A secret that was generated for a config var because a manifest asks for it. Generated once
    and kept as long as the app."""

    app = models.ForeignKey(App, on_delete=models.CASCADE, related_name="generated_secrets")
    name = models.CharField(max_length=128)
    encrypted_value = models.BinaryField()

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("app", "name"), name="one_generated_secret_a_name"),
        )


class ProcessFormation(models.Model):
    """The number and size of instances of one process type. Millicores and bytes."""

    app = models.ForeignKey(App, on_delete=models.CASCADE, related_name="formation")
    process = models.CharField(max_length=40)
    count = models.PositiveIntegerField(default=1)
    cpu = models.PositiveIntegerField(default=500)
    memory = models.PositiveBigIntegerField(default=512 * 2**20)
    processes = models.PositiveIntegerField(default=128)
    disk = models.PositiveBigIntegerField(default=512 * 2**20)
    # set by a person: a manifest no longer changes it
    by_person = models.BooleanField(default=False)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("app", "process"), name="one_formation_a_process_type"),
        )


class CheckKind(models.TextChoices):
    HTTP = "http", "HTTP: GET a path"
    TCP = "tcp", "TCP: connect to the port"
    COMMAND = "command", "Command inside the instance"


class HealthSettings(models.Model):
    """The health check that was set in the portal. An app without a row has none. Times in
    seconds."""

    app = models.OneToOneField(App, on_delete=models.CASCADE, related_name="health_settings")
    kind = models.CharField(max_length=7, choices=CheckKind.choices, default=CheckKind.HTTP)
    # for HTTP; kept while another kind is selected
    path = models.CharField(max_length=200, default="/")
    # for COMMAND: a shell line; kept while another kind is selected
    command = models.TextField(blank=True)
    timeout = models.FloatField(default=5.0)  # of one check
    # after the start; failed checks in this period are ignored
    start_period = models.FloatField(default=30.0)
    interval = models.FloatField(default=10.0)  # after the start period, between two checks
    # consecutive failures until the instance is unhealthy
    attempts = models.PositiveSmallIntegerField(default=3)


class InstanceState(models.TextChoices):
    STARTING = "starting", "Starting"
    WAKING = "waking", "Waking"  # a request waits for it
    LIVE = "live", "Live"
    DRAINING = "draining", "Draining"
    ASLEEP = "asleep", "Asleep"  # frozen, or created and not started: the next request wakes it
    CRASHED = "crashed", "Crashed"  # waits for its backoff to end
    STOPPED = "stopped", "Stopped"


class Instance(models.Model):
    """The state of an instance as its node last reported it. A copy for display; the node has the
    real state."""

    id = models.CharField(primary_key=True, max_length=80)
    app = models.ForeignKey(App, on_delete=models.CASCADE, related_name="instances")
    process = models.CharField(max_length=40)
    release_number = models.PositiveIntegerField()
    node = models.CharField(max_length=80)
    state = models.CharField(max_length=10, choices=InstanceState.choices)
    detail = models.TextField(blank=True)  # why it crashed or is not yet live
    restarts = models.PositiveIntegerField(default=0)
    started_at = models.DateTimeField(null=True, blank=True)
    stopped_at = models.DateTimeField(null=True, blank=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        indexes = (
            models.Index(
                fields=("app", "state"), condition=~Q(state="stopped"), name="running_instances"
            ),
        )
