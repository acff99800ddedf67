"""The addresses and ports that the router listens on. Pure.

HAProxy's configuration reads each of them from an environment variable.
"""

from __future__ import annotations

from dataclasses import dataclass

from runtime.config import NodeConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenAddress:
    """An address and port to listen on. `name` is http or https."""

    name: str
    host: str
    port: int

    @property
    def variable(self) -> str:
        """Return the name of the environment variable from which HAProxy reads this address."""
        return f"SLIPWAY_{self.name.upper()}_LISTENER"

    @property
    def text(self) -> str:
        """Return HOST:PORT, as HAProxy's `bind` expects it.

        Used if HAProxy opens its own sockets.
        """
        return f"{self.host}:{self.port}"


def places(config: NodeConfig) -> tuple[ListenAddress, ...]:
    """Return the addresses and ports that this node listens on."""
    ports = {"http": config.http_port, "https": config.https_port}
    return tuple(
        ListenAddress(name=name, host=config.http_bind, port=port)
        for name, port in ports.items()
        if port
    )
