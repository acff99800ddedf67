"""The network interface that containers need.

`runtime.network` implements it. Tests may pass their own implementation.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address
from pathlib import Path
from typing import Protocol

from runtime.network.policy import NetworkPolicy


class Attachment(Protocol):
    """A container's connection to the network."""

    @property
    def netns(self) -> Path:
        """Return the path of a pinned network namespace.

        Its owner is the user namespace that the container was attached with.
        """
        ...

    @property
    def address(self) -> IPv4Address:
        """Return the address at which the host reaches the container."""
        ...


class Network(Protocol):
    """Assigns addresses to containers and releases them. Every method may be called again."""

    def attach(
        self, container_id: str, userns: Path, *, team: int, app: str, build: bool
    ) -> Attachment:
        """Return the container's attachment; create it if it does not exist.

        The policy of `team` applies to the container. Its traffic is counted for `app`.
        """
        ...

    def detach(self, container_id: str) -> None:
        """Remove the container's attachment. Do nothing if it does not exist."""
        ...

    def set_policy(self, team: int, policy: NetworkPolicy) -> None:
        """Apply a policy to all containers of a team, including those that already run."""
        ...

    def attachments(self) -> Mapping[str, Attachment]:
        """Return all attachments, by container id."""
        ...
