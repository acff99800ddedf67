"""Apps, their config vars, their formation and their health checks."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from portal.accounts.models import Team


class App(models.Model):
    """A named thing that is hosted. `name` is a DNS label, unique on the platform: it is a host name too."""

    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="apps")
    name = models.CharField(max_length=40, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)
    current_release = models.ForeignKey("releases.Release", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    generation = models.PositiveIntegerField(default=0)  # raised by "restart"
    deleted_at = models.DateTimeField(null=True, blank=True)  # set at once; the row goes when its node has let go

    def __str__(self) -> str:
        return self.name


class ConfigVar(models.Model):
    """One environment variable of an app as it will be in the next release. The value is encrypted at rest."""

    app = models.ForeignKey(App, on_delete=models.CASCADE, related_name="config_vars")
    name = models.CharField(max_length=128)
    encrypted_value = models.BinaryField()
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("app", "name"), name="one_value_a_config_var"),)


class GeneratedSecret(models.Model):
    """What was drawn for a config var that an app's file wants generated: once, and kept while there is the app."""

    app = models.ForeignKey(App, on_delete=models.CASCADE, related_name="generated_secrets")
    name = models.CharField(max_length=128)
    encrypted_value = models.BinaryField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=("app", "name"), name="one_generated_secret_a_name"),)


class ProcessFormation(models.Model):
    """How many instances of one process type, and of what size. Millicores and bytes."""

    app = models.ForeignKey(App, on_delete=models.CASCADE, related_name="formation")
    process = models.CharField(max_length=40)
    count = models.PositiveIntegerField(default=1)
    cpu = models.PositiveIntegerField(default=500)
    memory = models.PositiveBigIntegerField(default=512 * 2**20)
    processes = models.PositiveIntegerField(default=128)
    disk = models.PositiveBigIntegerField(default=512 * 2**20)
    by_person = models.BooleanField(default=False)  # scaled by someone: no deploy's file changes it any more

    class Meta:
        constraints = (models.UniqueConstraint(fields=("app", "process"), name="one_formation_a_process_type"),)


class CheckKind(models.TextChoices):
    HTTP = "http", "HTTP: a GET of a path"
    TCP = "tcp", "TCP: a connection to its port"
    COMMAND = "command", "Command inside the instance"


class HealthSettings(models.Model):
    """The health check that somebody set for an app in the portal; an app without a row has none there. Times in seconds."""

    app = models.OneToOneField(App, on_delete=models.CASCADE, related_name="health_settings")
    kind = models.CharField(max_length=7, choices=CheckKind.choices, default=CheckKind.HTTP)
    path = models.CharField(max_length=200, default="/")  # of HTTP; kept for later while the kind is another
    command = models.TextField(blank=True)  # of COMMAND: a shell line; kept as the path is
    timeout = models.FloatField(default=5.0)  # one check
    start_period = models.FloatField(default=30.0)  # after the start; failed checks do not count in it
    interval = models.FloatField(default=10.0)  # after that, between two that count
    attempts = models.PositiveSmallIntegerField(default=3)  # that many may fail in a row


class InstanceState(models.TextChoices):
    STARTING = "starting", "Starting"
    WAKING = "waking", "Waking"  # a request is held for it
    LIVE = "live", "Live"
    DRAINING = "draining", "Draining"
    ASLEEP = "asleep", "Asleep"  # frozen, or made and not started: the first request wakes it
    CRASHED = "crashed", "Crashed"  # waits for its back-off to end
    STOPPED = "stopped", "Stopped"


class Instance(models.Model):
    """What a node last told of one instance. A mirror for people to look at, never the truth."""

    id = models.CharField(primary_key=True, max_length=80)
    app = models.ForeignKey(App, on_delete=models.CASCADE, related_name="instances")
    process = models.CharField(max_length=40)
    release_number = models.PositiveIntegerField()
    node = models.CharField(max_length=80)
    state = models.CharField(max_length=10, choices=InstanceState.choices)
    detail = models.TextField(blank=True)  # why it crashed or is not live yet
    restarts = models.PositiveIntegerField(default=0)
    started_at = models.DateTimeField(null=True, blank=True)
    stopped_at = models.DateTimeField(null=True, blank=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        indexes = (models.Index(fields=("app", "state"), condition=~Q(state="stopped"), name="running_instances"),)
