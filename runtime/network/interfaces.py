"""Network links of this machine: their indexes, addresses and settings, and the kernel's errors."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import IPv4Address
from pathlib import Path

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from runtime.errors import NetworkRefused

_EXFULL = 54  # br_add_if() in net/bridge/br_if.c: all 1023 ports are in use


def uplinks_of(route: IPRoute) -> list[dict[str, object]]:
    """Return the links of the IPv4 default routes."""
    indexes = {row.get("oif") for row in route.get_default_routes(family=2)} - {None}
    return [route.get_links(index)[0] for index in sorted(indexes)]


def addresses_of(route: IPRoute, index: int | None = None) -> set[IPv4Address]:
    rows = route.get_addr(family=2) if index is None else route.get_addr(family=2, index=index)
    return {IPv4Address(row.get("local") or row.get("address")) for row in rows}


def index_of(name: str) -> int | None:
    """Return the index of a link in this thread's network namespace, or None.

    This is faster than a netlink request.
    """
    with suppress(OSError):
        return socket.if_nametoindex(name)
    return None


def required_index(name: str) -> int:
    index = index_of(name)
    if index is None:
        raise missing(name)
    return index


def missing(name: str) -> NetworkRefused:
    return NetworkRefused(
        f"The interface {name} is missing.",
        hint="Restart the platform; its start sets up the network again.",
    )


def is_up(route: IPRoute, name: str) -> bool:
    index = index_of(name)
    if index is None:
        return False
    links: list[dict[str, int]] = []
    with absent_is_fine():
        links = route.get_links(index)
    return any(link["flags"] & 1 for link in links)  # IFF_UP


def delete_link(route: IPRoute, index: int) -> None:
    with absent_is_fine():
        route.link("del", index=index)


def set_sysctl(name: str, value: str) -> bool:
    """Set a kernel variable. Return whether it had another value.

    A variable that this kernel lacks (IPv6 is off) needs no setting.
    """
    path = Path("/proc/sys") / name
    with suppress(FileNotFoundError):
        if path.read_text().strip() != value:
            path.write_text(value)
            return True
    return False


@contextmanager
def absent_is_fine() -> Iterator[None]:
    try:
        yield
    except NetlinkError as error:
        if error.code not in (errno.ENODEV, errno.ENOENT):
            raise


@contextmanager
def refusal(what: str, on: str) -> Iterator[None]:
    try:
        yield
    except NetlinkError as error:
        if error.code == _EXFULL:
            full = (
                f"Cannot connect {on} to the bridge: it has 1023 links, the limit of a Linux"
                " bridge."
            )
            raise NetworkRefused(
                full, hint="Stop some instances, or run a second node with another SLIPWAY_NAME."
            ) from None
        raise NetworkRefused(f"The kernel refused to {what} {on}: {error}.") from None
    except OSError as error:
        raise NetworkRefused(
            f"The kernel refused to {what} {on}: {error}.", hint="Run as root."
        ) from None
