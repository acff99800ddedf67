"""Addresses and names of interfaces, by arithmetic. Pure: who has which one is written down in `leases`."""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import IPv4Address, IPv4Network

from runtime.errors import NetworkRefused

METADATA = (  # what clouds tell their machines, credentials among it, and link-local addresses altogether
    IPv4Network("169.254.0.0/16"),
    IPv4Network("100.100.100.200/32"),  # Alibaba
    IPv4Network("168.63.129.16/32"),  # Azure
    IPv4Network("192.0.0.192/32"),  # Oracle
)
PRIVATE = tuple(map(IPv4Network, ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16")))  # RFC 1918, RFC 6598
_NUMBERS = 16**6  # of interfaces before their names come round again


def gateway(network: IPv4Network) -> IPv4Address:
    """The bridge's own address: the first of the network."""
    return network[1]


def next_address(network: IPv4Network, taken: Collection[IPv4Address], last: IPv4Address | None) -> IPv4Address:
    """The free address after the last one given, so that one just freed is not given again at once. NetworkRefused: none is free."""
    hosts = network.num_addresses - 3  # without the network, the gateway, the broadcast
    start = int(last) - int(network[1]) if last is not None and last in network else 0
    for step in range(max(hosts, 0)):
        address = network[2 + (start + step) % hosts]
        if address not in taken:
            return address
    raise NetworkRefused(
        f"All addresses of the network {network} are taken.", hint="Stop some instances, or give the node a larger SLIPWAY_NETWORK."
    )


def hardware_address(address: IPv4Address) -> str:
    """The one Ethernet address that goes with an address: locally administered, so no manufacturer's."""
    return "02:53:" + ":".join(f"{byte:02x}" for byte in address.packed)


def interface_prefix(node: str) -> str:
    """What all interfaces of a node's containers begin with; the hyphen cannot be in another node's name."""
    return f"{node}-"


def interface_name(node: str, number: int) -> str:
    """The host's end of a container's link: at most 15 bytes (IFNAMSIZ), another one each time.

    A name is not used again soon because the kernel removes a network namespace, and the interfaces in it, some time after
    its last user is gone.
    """
    return f"{interface_prefix(node)}{number % _NUMBERS:x}"
