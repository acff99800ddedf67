"""Where the router listens: addresses and ports, and the variables that HAProxy's configuration reads them from. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from runtime.config import NodeConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One address and port to listen on. `name` is http or https."""

    name: str
    host: str
    port: int

    @property
    def variable(self) -> str:
        """The environment variable that HAProxy's configuration reads the place from."""
        return f"SLIPWAY_{self.name.upper()}_LISTENER"

    @property
    def text(self) -> str:
        """As HAProxy's `bind` takes it, for a HAProxy that opens its sockets itself."""
        return f"{self.host}:{self.port}"


def places(config: NodeConfig) -> tuple[Place, ...]:
    """Where this node listens."""
    ports = {"http": config.http_port, "https": config.https_port}
    return tuple(Place(name=name, host=config.http_bind, port=port) for name, port in ports.items() if port)
