"""The stored values of an app's process types and instances. The supervisor imports this module, so
it has no models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec


class Part(msgspec.Struct, frozen=True, array_like=True):
    """The values of one process type or instance: CPU in millicores, sizes in bytes.

    CPU is a mean, memory and disk are maxima. Traffic is that of the part itself, without responses
    to requests. Stored as a list; a later version may only add values at its end.
    """

    cpu: int = 0
    cpu_limit: int = 0
    memory: int = 0
    memory_limit: int = 0
    disk: int = 0
    disk_limit: int = 0
    egress: int = 0
    ingress: int = 0
    restarts: int = 0


class PartsPoint(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of an app in the `seconds` before `at` (Unix time).

    An instance has a name such as `web.1a2b3c4d`. A process type has an entry of its own only if it
    is not the same as that of its only instance.
    """

    at: float
    seconds: float
    parts: Mapping[str, Part] = msgspec.field(default_factory=dict)

    def part(self, name: str) -> Part | None:
        """Return the values of a process type or an instance, or None if it did not run."""
        if (found := self.parts.get(name)) is not None:
            return found
        return next((part for key, part in self.parts.items() if process_of(key) == name), None)

    def only(self, name: str) -> PartsPoint:
        """Return the point with this part alone, or without parts if it did not run."""
        part = self.part(name)
        parts = {} if part is None else {name: part}
        return PartsPoint(at=self.at, seconds=self.seconds, parts=parts)


def process_of(instance: str) -> str:
    """Return the process type of an instance's name: `web` of `web.1a2b3c4d`."""
    return instance.rpartition(".")[0]


def is_instance(name: str) -> bool:
    """Return True for the name of an instance, False for that of a process type."""
    return "." in name


def merged(parts: Sequence[Part]) -> Part:
    """Return the values of one part over several points: CPU as mean, sizes as maximum, the rest as
    sum."""
    return Part(
        cpu=round(sum(part.cpu for part in parts) / len(parts)),
        cpu_limit=max(part.cpu_limit for part in parts),
        memory=max(part.memory for part in parts),
        memory_limit=max(part.memory_limit for part in parts),
        disk=max(part.disk for part in parts),
        disk_limit=max(part.disk_limit for part in parts),
        egress=sum(part.egress for part in parts),
        ingress=sum(part.ingress for part in parts),
        restarts=sum(part.restarts for part in parts),
    )
