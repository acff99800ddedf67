"""Quotas in total and per instance, and network policies."""

from __future__ import annotations

from django.db import models

from portal.accounts.models import Team

MIB = 2**20
GIB = 2**30


class Quota(models.Model):
    """The limits of a team. CPU in millicores (1000 is one core), memory and disk in bytes.

    The default sums allow twenty instances of the default size. Formations allocate from the sums,
    and the kernel enforces them too.
    """

    team = models.OneToOneField(Team, on_delete=models.CASCADE, related_name="quota")
    apps = models.PositiveIntegerField(default=10)
    instances = models.PositiveIntegerField(default=20)
    cpu = models.PositiveIntegerField(default=10_000)
    cpu_per_instance = models.PositiveIntegerField(default=1000)
    memory = models.PositiveBigIntegerField(default=10 * GIB)
    memory_per_instance = models.PositiveBigIntegerField(default=1 * GIB)
    processes_per_instance = models.PositiveIntegerField(default=256)
    disk = models.PositiveBigIntegerField(
        default=10 * GIB
    )  # of instances' writable layers and of volumes
    disk_per_instance = models.PositiveBigIntegerField(default=2 * GIB)
    # time without a request after which apps sleep, unless they have their own value; 0: never
    sleep_minutes = models.PositiveIntegerField(default=0)
    updated_at = models.DateTimeField(auto_now=True)


class Egress(models.TextChoices):
    """The outgoing connections that a team's containers may open."""

    OPEN = "open", "Open: any address outside"
    ALLOW_LIST = "allow-list", "Allow list: listed hosts only"
    NONE = "none", "None: no outgoing connections"


class NetworkPolicy(models.Model):
    """The network policy of a team: allowed destinations and bandwidth. A team without a row has
    the defaults."""

    team = models.OneToOneField(Team, on_delete=models.CASCADE, related_name="network_policy")
    egress = models.CharField(max_length=16, choices=Egress.choices, default=Egress.OPEN)
    destinations = models.TextField(blank=True, default="")  # one per line (`destinations.parse`)
    builds_open = models.BooleanField(default=False)
    # builds may use stacks instead of official base images that cannot be fetched
    substitutes = models.BooleanField(default=False)
    # bits per second of one container in each direction; 0: unlimited
    bandwidth = models.PositiveBigIntegerField(default=0)
    updated_at = models.DateTimeField(auto_now=True)

    @property
    def lines(self) -> list[str]:
        """Return the lines of the allow list."""
        return self.destinations.splitlines()
