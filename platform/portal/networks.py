"""The network of a client's address, which limits count by."""

from __future__ import annotations

import ipaddress


def network_of(address: str) -> str:
    """Return the IPv4 address or IPv6 /64; `unknown` for anything else."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    return (
        str(parsed)
        if parsed.version == 4
        else str(ipaddress.ip_network((parsed, 64), strict=False))
    )
