"""Configure a container's end of its link, inside its network namespace."""

from __future__ import annotations

from pyroute2 import IPRoute

from runtime.network.addresses import hardware_address
from runtime.network.attachment import Attachment
from runtime.network.bandwidth import shape
from runtime.network.interfaces import (
    required_index,
    set_sysctl,
)

INSIDE = "eth0"


def shape_inside(bits_per_second: int) -> None:
    with IPRoute() as route:
        shape(route, required_index(INSIDE), bits_per_second)


def configure(attachment: Attachment, bits_per_second: int) -> None:
    """Configure a container's end of the link, with a host route to the gateway only.

    All packets go to the gateway, so it refuses forbidden ones at once.
    """
    set_sysctl("net/ipv6/conf/default/disable_ipv6", "1")
    set_sysctl(f"net/ipv6/conf/{INSIDE}/disable_ipv6", "1")
    set_sysctl("net/ipv4/ip_unprivileged_port_start", "0")
    gate = str(attachment.gateway)
    with IPRoute() as route:
        route.link("set", index=1, state="up")
        index = required_index(INSIDE)
        route.addr("add", index=index, address=str(attachment.address), prefixlen=32)
        route.link("set", index=index, state="up")
        route.neigh(
            "replace",
            dst=gate,
            lladdr=hardware_address(attachment.gateway),
            ifindex=index,
            state="permanent",
        )
        route.route("add", dst=f"{gate}/32", oif=index, scope="link")
        route.route("add", dst="default", gateway=gate, oif=index)
        if bits_per_second:
            shape(route, index, bits_per_second)
