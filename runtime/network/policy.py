"""The network policy of a team: destinations and bandwidth that an admin sets. Pure.

The portal's database is less trusted than this process, which is root. So each text is parsed again
here before it becomes a rule.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from typing import Self

_NAME = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*"
)
_ENTRY = re.compile(r"(?P<host>[^:\s]+)(?::(?P<first>\d{1,5})(?:-(?P<last>\d{1,5}))?)?", re.ASCII)


class EgressPolicy(StrEnum):
    """The outgoing connections that a team's containers may open."""

    OPEN = "open"
    ALLOW_LIST = "allow-list"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A line of an allow list: a host name or a network, and the ports (first and last; None:
    all).
    """

    name: str = ""
    network: IPv4Network | None = None
    ports: tuple[int, int] | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `example.com`, `example.com:443`, `192.0.2.0/24` or `192.0.2.7:5000-5100`.

        Raise ValueError with the fault of the text.
        """
        match = _ENTRY.fullmatch(text.strip().lower())
        if match is None:
            raise ValueError(
                f"{text.strip()[:80]!r} is not a host, an address or a network; write HOST,"
                " HOST:PORT or NETWORK/BITS:PORT"
            )
        ports = _ports(match["first"], match["last"])
        host = match["host"].removesuffix(".")
        if "/" in host or host.replace(".", "").isdecimal():
            return cls(network=_network(host), ports=ports)
        if "*" in host:
            raise ValueError(
                f"{host[:80]!r} has a wildcard; addresses of a wildcard cannot be looked up, so"
                " list each host"
            )
        if not _NAME.fullmatch(host):
            raise ValueError(f"{host[:80]!r} is not a valid host name")
        return cls(name=host, ports=ports)

    def covers(self, host: str, port: int) -> bool:
        """Return whether this line allows a host, given by name or by IPv4 address, with a port."""
        if self.ports is not None and not self.ports[0] <= port <= self.ports[1]:
            return False
        if self.network is None:
            return host == self.name
        try:
            return IPv4Address(host) in self.network
        except AddressValueError:
            return False

    def __str__(self) -> str:
        host = self.name or (
            str(self.network.network_address)
            if self.network and self.network.prefixlen == 32
            else str(self.network)
        )
        if self.ports is None:
            return host
        first, last = self.ports
        return f"{host}:{first}" if first == last else f"{host}:{first}-{last}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkPolicy:
    """A team's policy.

    `bandwidth` is in bits per second, per container and direction; 0: unlimited.
    """

    egress: EgressPolicy = EgressPolicy.OPEN
    destinations: tuple[Destination, ...] = ()
    builds_open: bool = False  # builds may open any connection, regardless of `egress`
    bandwidth: int = 0

    def egress_of(self, *, build: bool) -> EgressPolicy:
        """Return the egress rule of an instance or of a build."""
        return EgressPolicy.OPEN if build and self.builds_open else self.egress

    def is_listed(self, host: str, port: int) -> bool:
        """Return whether the allow list has a host, given by name or by IPv4 address, with a
        port.
        """
        return any(destination.covers(host, port) for destination in self.destinations)

    @property
    def names(self) -> frozenset[str]:
        """Return the host names whose addresses must be looked up."""
        if self.egress is not EgressPolicy.ALLOW_LIST:
            return frozenset()
        return frozenset(destination.name for destination in self.destinations if destination.name)

    def to_document(self) -> dict[str, object]:
        """Return the policy as JSON values."""
        return {
            "egress": self.egress.value,
            "destinations": [str(destination) for destination in self.destinations],
            "builds_open": self.builds_open,
            "bandwidth": self.bandwidth,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, object]) -> Self:
        """Parse the result of `to_document`."""
        lines = document["destinations"]
        assert isinstance(lines, list)
        return cls(
            egress=EgressPolicy(str(document["egress"])),
            destinations=tuple(Destination.parse(line) for line in lines),
            builds_open=bool(document["builds_open"]),
            bandwidth=int(str(document["bandwidth"])),
        )


def _ports(first: str | None, last: str | None) -> tuple[int, int] | None:
    if first is None:
        return None
    ports = int(first), int(last or first)
    if not 1 <= ports[0] <= ports[1] <= 65535:
        raise ValueError(
            f"{first}{f'-{last}' if last else ''} is not a port or a range of ports: ports are 1 to"
            " 65535, the lower one first"
        )
    return ports


def _network(text: str) -> IPv4Network:
    try:
        return IPv4Network(text)
    except ValueError as error:
        raise ValueError(f"{text[:80]!r} is not an IPv4 address or network ({error})") from None
