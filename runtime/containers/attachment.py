"""What this package needs of a network, as a shape: `runtime.network` has it, a test may bring its own."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address
from pathlib import Path
from typing import Protocol

from runtime.network.policy import NetworkPolicy


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
    """Gives containers an address, and takes it back. All verbs may be repeated."""

    def attach(self, container_id: str, userns: Path, *, team: int, app: str, build: bool) -> Attachment:
        """Make or find the container's place. Its team's policy counts for it, and its traffic is its app's."""
        ...

    def detach(self, container_id: str) -> None:
        """Remove it; fine if there is none."""
        ...

    def set_policy(self, team: int, policy: NetworkPolicy) -> None:
        """Hold a team's containers to a policy, those that run included."""
        ...

    def attachments(self) -> Mapping[str, Attachment]:
        """All places there are, by container."""
        ...
