"""A container's connection to the network, as a value."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A container's connection to the network."""

    container_id: str
    netns: Path
    address: IPv4Address
    gateway: IPv4Address
    interface: str  # the host's end
