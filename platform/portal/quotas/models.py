"""What a team may use, in total and per instance, and what it may reach."""

from __future__ import annotations

from django.db import models

from portal.accounts.models import Team

MIB = 2**20
GIB = 2**30


class Quota(models.Model):
    """One team's limits. CPU in millicores (1000 is one core), memory and disk in bytes.

    The sums hold twenty instances of the default size. They are booked by the formation, and held by the kernel too.
    """

    team = models.OneToOneField(Team, on_delete=models.CASCADE, related_name="quota")
    apps = models.PositiveIntegerField(default=10)
    instances = models.PositiveIntegerField(default=20)
    cpu = models.PositiveIntegerField(default=10_000)
    cpu_per_instance = models.PositiveIntegerField(default=1000)
    memory = models.PositiveBigIntegerField(default=10 * GIB)
    memory_per_instance = models.PositiveBigIntegerField(default=1 * GIB)
    processes_per_instance = models.PositiveIntegerField(default=256)
    disk = models.PositiveBigIntegerField(default=10 * GIB)  # of all instances' writable layers
    disk_per_instance = models.PositiveBigIntegerField(default=2 * GIB)
    sleep_minutes = models.PositiveIntegerField(default=0)  # without a request, after which apps sleep unless they say otherwise; 0: never
    updated_at = models.DateTimeField(auto_now=True)


class Egress(models.TextChoices):
    """Which outgoing connections a team's containers may open."""

    OPEN = "open", "Open: any address outside"
    ALLOW_LIST = "allow-list", "Allow list: listed hosts only"
    NONE = "none", "None: no outgoing connections"


class NetworkPolicy(models.Model):
    """What one team's containers may reach, and how fast. A team without a row has the defaults."""

    team = models.OneToOneField(Team, on_delete=models.CASCADE, related_name="network_policy")
    egress = models.CharField(max_length=16, choices=Egress.choices, default=Egress.OPEN)
    destinations = models.TextField(blank=True, default="")  # one a line (`destinations.parse`)
    builds_open = models.BooleanField(default=False)
    bandwidth = models.PositiveBigIntegerField(default=0)  # bits per second of one container, each way; 0: unlimited
    updated_at = models.DateTimeField(auto_now=True)

    @property
    def lines(self) -> list[str]:
        """The allow list."""
        return self.destinations.splitlines()
