"""The resources that instances use, as one value, and its mean and maximum over a time."""

from __future__ import annotations

from dataclasses import dataclass, field

from runtime.network.traffic import Amount


@dataclass(frozen=True, slots=True, kw_only=True)
class AppUsage:
    """The total usage of some instances of one app, in millicores and bytes.

    The limits are the sums of their limits.
    """

    cpu: int = 0
    cpu_limit: int = 0
    memory: int = 0
    memory_limit: int = 0
    disk: int = 0
    disk_limit: int = 0

    def __add__(self, other: AppUsage) -> AppUsage:
        return AppUsage(
            cpu=self.cpu + other.cpu,
            cpu_limit=self.cpu_limit + other.cpu_limit,
            memory=self.memory + other.memory,
            memory_limit=self.memory_limit + other.memory_limit,
            disk=self.disk + other.disk,
            disk_limit=self.disk_limit + other.disk_limit,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceSample:
    """The usage of one instance, and its network traffic since it was attached."""

    usage: AppUsage
    outside: Amount = field(default_factory=Amount)


@dataclass(slots=True, kw_only=True)
class UsageWindow:
    """The usage of an app over some rounds: CPU as mean, the rest as maximum."""

    _rounds: int = 0
    _cpu: int = 0  # the sum
    _most: AppUsage = field(default_factory=AppUsage)

    def add(self, usage: AppUsage) -> None:
        """Add the usage of one round."""
        self._rounds += 1
        self._cpu += usage.cpu
        self._most = AppUsage(
            cpu_limit=max(self._most.cpu_limit, usage.cpu_limit),
            memory=max(self._most.memory, usage.memory),
            memory_limit=max(self._most.memory_limit, usage.memory_limit),
            disk=max(self._most.disk, usage.disk),
            disk_limit=max(self._most.disk_limit, usage.disk_limit),
        )

    def result(self) -> AppUsage:
        """Return the usage over all rounds."""
        return AppUsage(cpu=round(self._cpu / max(self._rounds, 1))) + self._most
