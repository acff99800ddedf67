"""Name servers for containers: those of the host that a container can reach."""

from __future__ import annotations

from ipaddress import AddressValueError, IPv4Address
from pathlib import Path

_RESOLV_CONF = Path("/etc/resolv.conf")
# the upstream servers of systemd-resolved, if it listens only on loopback
_UPSTREAM = Path("/run/systemd/resolve/resolv.conf")


def name_servers(
    resolv_conf: Path = _RESOLV_CONF, upstream: Path = _UPSTREAM
) -> tuple[IPv4Address, ...]:
    """Return the host's name servers that containers can reach; possibly none.

    If the host runs a name server on loopback, return that server's upstream servers.
    """
    for path in (resolv_conf, upstream):
        if path.exists() and (servers := reachable_name_servers(path.read_text())):
            return servers
    return ()


def reachable_name_servers(text: str) -> tuple[IPv4Address, ...]:
    """Return the IPv4 name servers of a resolv.conf(5) that are not on loopback.

    Containers do not use IPv6.
    """
    servers = []
    for line in text.splitlines():
        words = line.split()
        if len(words) < 2 or words[0] != "nameserver":
            continue
        try:
            server = IPv4Address(words[1])
        except AddressValueError:
            continue
        if not server.is_loopback and not server.is_unspecified:
            servers.append(server)
    return tuple(servers)
