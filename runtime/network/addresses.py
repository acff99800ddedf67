"""Arithmetic for IP addresses, hardware addresses and interface names. Pure.

`leases` records which container has which address.
"""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import IPv4Address, IPv4Network

from runtime.errors import NetworkRefused

METADATA = (  # metadata services of clouds, which serve credentials, and all link-local addresses
    IPv4Network("169.254.0.0/16"),
    IPv4Network("100.100.100.200/32"),  # Alibaba
    IPv4Network("168.63.129.16/32"),  # Azure
    IPv4Network("192.0.0.192/32"),  # Oracle
)
PRIVATE = tuple(
    map(IPv4Network, ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16"))
)  # RFC 1918, RFC 6598
_NUMBERS = 16**6  # interface numbers before the names repeat


def gateway(network: IPv4Network) -> IPv4Address:
    """Return the bridge's address: the first one of the network."""
    return network[1]


def next_address(
    network: IPv4Network, taken: Collection[IPv4Address], last: IPv4Address | None
) -> IPv4Address:
    """Return the next free address after `last`, so that a freed address is not reused at once.

    Raise NetworkRefused if no address is free.
    """
    hosts = network.num_addresses - 3  # without the network, the gateway, the broadcast
    start = int(last) - int(network[1]) if last is not None and last in network else 0
    for step in range(max(hosts, 0)):
        address = network[2 + (start + step) % hosts]
        if address not in taken:
            return address
    raise NetworkRefused(
        f"All addresses of the network {network} are in use.",
        hint="Stop some instances, or give the node a larger SLIPWAY_NETWORK.",
    )


def hardware_address(address: IPv4Address) -> str:
    """Return the Ethernet address for an IP address.

    It is locally administered, so it is not a manufacturer's.
    """
    return "02:53:" + ":".join(f"{byte:02x}" for byte in address.packed)


def interface_prefix(node: str) -> str:
    """Return the prefix of the names of all interfaces of a node's containers.

    The hyphen is not valid in a node's name, so prefixes of two nodes differ.
    """
    return f"{node}-"


def interface_name(node: str, number: int) -> str:
    """Return the name of the host's end of a container's link: at most 15 bytes (IFNAMSIZ).

    Each call uses another number. The kernel removes a network namespace and its interfaces some
    time after its last user has ended, so a name is not reused soon.
    """
    return f"{interface_prefix(node)}{number % _NUMBERS:x}"
