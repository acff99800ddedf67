"""Which name servers a container can use: the host's, as far as it can reach them from inside."""

from __future__ import annotations

from ipaddress import AddressValueError, IPv4Address
from pathlib import Path

_RESOLV_CONF = Path("/etc/resolv.conf")
_UPSTREAM = Path("/run/systemd/resolve/resolv.conf")  # what systemd-resolved itself asks, where it listens on loopback only


def name_servers(resolv_conf: Path = _RESOLV_CONF, upstream: Path = _UPSTREAM) -> tuple[IPv4Address, ...]:
    """The host's name servers, or those behind it if it runs one on loopback, where no container reaches it. May be none."""
    for path in (resolv_conf, upstream):
        if path.exists() and (servers := reachable_name_servers(path.read_text())):
            return servers
    return ()


def reachable_name_servers(text: str) -> tuple[IPv4Address, ...]:
    """IPv4 name servers of a resolv.conf(5) that are not on loopback; containers speak no IPv6."""
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
