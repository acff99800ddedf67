"""What this package needs of a network, as a shape: `runtime.network` has it, a test may bring its own."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address
from pathlib import Path
from typing import Protocol


class Attachment(Protocol):
    """A container's place in the network."""

    @property
    def netns(self) -> Path:
        """A pinned network namespace, owned by the user namespace it was attached with."""
        ...

    @property
    def address(self) -> IPv4Address:
        """Where the host reaches the container."""
        ...


class Network(Protocol):
    """Gives containers an address, and takes it back. Both verbs may be repeated."""

    def attach(self, container_id: str, userns: Path) -> Attachment:
        """Make or find the container's place."""
        ...

    def detach(self, container_id: str) -> None:
        """Remove it; fine if there is none."""
        ...

    def attachments(self) -> Mapping[str, Attachment]:
        """All places there are, by container."""
        ...
