"""The bridge of a node: every container's link ends there."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Interface

from pyroute2 import IPRoute

from runtime.config import NodeConfig
from runtime.errors import NetworkRefused
from runtime.network.addresses import gateway, hardware_address
from runtime.network.interfaces import (
    absent_is_fine,
    addresses_of,
    index_of,
    missing,
    required_index,
    set_sysctl,
    uplinks_of,
)

# alias of each node's bridge, by which a machine's nodes find each other (ip link, ifalias)
_ALIAS = "Slipway node "


@dataclass(frozen=True, slots=True)
class Bridge:
    """The bridge of one node, by the node's settings."""

    config: NodeConfig

    def ensure(self, route: IPRoute) -> None:
        """Create the bridge with its address, or correct an existing one."""
        name, mtu = (
            self.config.bridge,
            min((int(str(link.get("mtu"))) for link in uplinks_of(route)), default=1500),
        )
        if index_of(name) is None:
            route.link(
                "add",
                ifname=name,
                kind="bridge",
                address=hardware_address(gateway(self.config.network)),
                br_mcast_snooping=0,
            )
        index = required_index(name)
        route.link("set", index=index, mtu=mtu, ifalias=f"{_ALIAS}{self.config.name}")
        set_sysctl(f"net/ipv6/conf/{name}/disable_ipv6", "1")
        if gateway(self.config.network) not in addresses_of(route, index):
            route.addr(
                "add",
                index=index,
                address=str(gateway(self.config.network)),
                prefixlen=self.config.network.prefixlen,
            )
        for setting, value in (
            ("forwarding", 1),
            ("send_redirects", 0),
            ("accept_redirects", 0),
            ("rp_filter", 1),
        ):
            set_sysctl(f"net/ipv4/conf/{name}/{setting}", str(value))
        route.link("set", index=index, state="up")

    def check_range(self, route: IPRoute) -> None:
        """Raise NetworkRefused if another interface has an address in the range of containers."""
        ours = index_of(self.config.bridge)
        for row in route.get_addr(family=2):
            other = IPv4Interface(f"{row.get('address')}/{row['prefixlen']}")
            if row["index"] != ours and other.network.overlaps(self.config.network):
                holder = row.get("label") or f"interface {row['index']}"
                raise NetworkRefused(
                    f"The range {self.config.network} for containers overlaps {other.network} on"
                    f" {holder}.",
                    hint="Choose a free range: SLIPWAY_NETWORK in .env, for example 10.211.0.0/16.",
                )

    def index_and_mtu(self, route: IPRoute) -> tuple[int, int]:
        """Return the bridge's index and MTU."""
        with absent_is_fine():
            for link in route.link("get", ifname=self.config.bridge):
                return int(link["index"]), int(link.get("mtu"))
        raise missing(self.config.bridge)


def has_node_bridges(route: IPRoute) -> bool:
    """Return whether this machine has the bridge of any node."""
    return any(str(link.get("ifalias") or "").startswith(_ALIAS) for link in route.get_links())
