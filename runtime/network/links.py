"""The network of a node's containers: one bridge, one isolated link each, out by NAT, in from this host alone.

Any root process may call it: what is durable is in `leases` under a lock, everything else is read from the kernel. Each
call opens its own netlink socket (0.3 ms), so threads share nothing.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from runtime import journal
from runtime.config import NodeConfig, proxy_ports
from runtime.errors import NetworkRefused
from runtime.kernel import Kernel
from runtime.network import firewall, namespaces
from runtime.network.addresses import gateway, hardware_address, interface_prefix
from runtime.network.leases import Lease, Leases
from runtime.network.names import name_servers

_INSIDE = "eth0"
_ALIAS = "Slipway node "  # of each node's bridge, so that nodes of one machine know of each other (ip link, ifalias)
_EXFULL = 54  # br_add_if() in net/bridge/br_if.c: all 1023 ports are taken
_NTF_MASTER, _NUD_NOARP = 0x04, 0x40  # a static entry of the bridge, not of the port (linux/neighbour.h)
_ALONE = {"isolated": 1, "learning": 0, "unicast_flood": 0, "mcast_flood": 0, "bcast_flood": 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A container's place in the network."""

    container_id: str
    netns: Path
    address: IPv4Address
    gateway: IPv4Address
    interface: str  # the host's end


class Network:
    """The node's network: `prepare` once at start, `attach` and `detach` a container, `tear_down` at the very end."""

    def __init__(self, config: NodeConfig, kernel: Kernel | None = None) -> None:
        self._config = config
        self._kernel = kernel or Kernel()
        self._folder = config.state / "network"
        self._pins = config.run / "netns"
        self._gateway = gateway(config.network)
        self._leases = Leases(self._folder, node=config.name, network=config.network)

    def prepare(self) -> None:
        """Bridge, forwarding and firewall; again at any time, without cutting a connection. NetworkRefused: the range is in use."""
        for folder in (self._folder, self._pins):
            folder.mkdir(parents=True, exist_ok=True)
        with self._leases.held() as leases:
            with _refusal("set up the bridge", self._config.bridge), IPRoute() as route:
                self._check_range(route)
                self._ensure_bridge(route)
                self._forward(_uplinks(route))
                local = _addresses(route)
            firewall.apply(
                firewall.ruleset(
                    node=self._config.name,
                    bridge=self._config.bridge,
                    network=self._config.network,
                    local_resolvers=[server for server in name_servers() if server in local],
                    leases=leases.values(),
                    proxies=proxy_ports(),
                )
            )

    def attach(self, container_id: str, userns: Path) -> Attachment:
        """Give a container a network namespace owned by `userns`, an address and a link to the bridge; the same ones if it has them."""
        lease = self._leases.take(container_id)
        attachment = self._attachment(container_id, lease)
        with _refusal("connect", container_id), IPRoute() as route:
            if namespaces.is_pinned(attachment.netns) and _is_up(route, lease.interface):
                return attachment
            if attachment.netns.exists() or _index(lease.interface) is not None:
                self._unplug(route, attachment)  # half made, or from before a reboot
            with ThreadPoolExecutor(1) as aside:  # the kernel takes some milliseconds for a change of its rules
                admitting = aside.submit(firewall.amend, self._kernel, firewall.admission(self._config.name, lease))
                namespaces.ensure(self._kernel, attachment.netns, userns)
                port = self._plug(route, attachment)
                admitting.result()
            route.link("set", index=port, state="up")  # last: by this an attachment is known to be complete
        return attachment

    def detach(self, container_id: str) -> None:
        """Take a container's link, namespace and address away; succeeds where there is none."""
        lease = self._leases.all().get(container_id)
        if lease is None:
            namespaces.remove(self._kernel, self._pin(container_id))
            return
        with _refusal("disconnect", container_id), IPRoute() as route:
            self._unplug(route, self._attachment(container_id, lease))
            if _index(self._config.bridge) is not None:
                firewall.amend(self._kernel, firewall.dismissal(self._config.name, lease))
        self._leases.drop(container_id)

    def attachments(self) -> dict[str, Attachment]:
        """All containers that have an address, by id; after a reboot also those whose link is gone."""
        return {container: self._attachment(container, lease) for container, lease in self._leases.all().items()}

    def tear_down(self) -> None:
        """Remove every trace from the kernel, and the leases."""
        with _refusal("remove the network", self._config.name), IPRoute() as route:
            for pin in sorted(self._pins.glob("*")):
                namespaces.remove(self._kernel, pin)
            for link in route.get_links():
                if str(link.get("ifname")).startswith(interface_prefix(self._config.name)):
                    _delete(route, link["index"])
            if (bridge := _index(self._config.bridge)) is not None:
                _delete(route, bridge)
            self._stop_forwarding(route)
        firewall.apply(firewall.removal(self._config.name) + "\n")
        for container in self._leases.all():
            self._leases.drop(container)

    def _plug(self, route: IPRoute, attachment: Attachment) -> int:
        """All of the link but its last step; the number of its end on the bridge."""
        bridge, mtu = self._bridge(route)
        mac = hardware_address(attachment.address)
        with attachment.netns.open("rb") as namespace:
            peer = {"ifname": _INSIDE, "net_ns_fd": namespace.fileno(), "address": mac, "mtu": mtu}
            route.link("add", ifname=attachment.interface, kind="veth", mtu=mtu, master=bridge, peer=peer)
        namespaces.inside(attachment.netns, lambda: _configure_inside(attachment))
        port = _required(attachment.interface)
        _sysctl(f"net/ipv6/conf/{attachment.interface}/disable_ipv6", "1")
        route.brport("set", index=port, **_ALONE)
        route.fdb("add", ifindex=port, lladdr=mac, flags=_NTF_MASTER, state=_NUD_NOARP)
        route.neigh("replace", dst=str(attachment.address), lladdr=mac, ifindex=bridge, state="permanent")
        return port

    def _bridge(self, route: IPRoute) -> tuple[int, int]:
        """The bridge's number and MTU."""
        with _absent_is_fine():
            for link in route.link("get", ifname=self._config.bridge):
                return int(link["index"]), int(link.get("mtu"))
        raise _missing(self._config.bridge)

    def _unplug(self, route: IPRoute, attachment: Attachment) -> None:
        if (port := _index(attachment.interface)) is not None:
            _delete(route, port)
        if (bridge := _index(self._config.bridge)) is not None:
            with _absent_is_fine():
                route.neigh("del", dst=str(attachment.address), ifindex=bridge)
        namespaces.remove(self._kernel, attachment.netns)

    def _ensure_bridge(self, route: IPRoute) -> None:
        name, mtu = self._config.bridge, min((int(str(link.get("mtu"))) for link in _uplinks(route)), default=1500)
        if _index(name) is None:
            route.link("add", ifname=name, kind="bridge", address=hardware_address(self._gateway), br_mcast_snooping=0)
        index = _required(name)
        route.link("set", index=index, mtu=mtu, ifalias=f"{_ALIAS}{self._config.name}")
        _sysctl(f"net/ipv6/conf/{name}/disable_ipv6", "1")
        if self._gateway not in _addresses(route, index):
            route.addr("add", index=index, address=str(self._gateway), prefixlen=self._config.network.prefixlen)
        for setting, value in (("forwarding", 1), ("send_redirects", 0), ("accept_redirects", 0), ("rp_filter", 1)):
            _sysctl(f"net/ipv4/conf/{name}/{setting}", str(value))
        route.link("set", index=index, state="up")

    def _check_range(self, route: IPRoute) -> None:
        ours = _index(self._config.bridge)
        for row in route.get_addr(family=2):
            other = IPv4Interface(f"{row.get('address')}/{row['prefixlen']}")
            if row["index"] != ours and other.network.overlaps(self._config.network):
                holder = row.get("label") or f"interface {row['index']}"
                raise NetworkRefused(
                    f"The range {self._config.network} for containers overlaps {other.network} on {holder}.",
                    hint="Give the node a range nobody uses: SLIPWAY_NETWORK in .env, for example 10.211.0.0/16.",
                )

    def _forward(self, uplinks: list[dict[str, object]]) -> None:
        """Let answers come back in: forwarding for these interfaces, not the machine's global switch."""
        record = self._folder / "forwarding.json"
        ours = set(journal.read_json(record) or [])
        for link in uplinks:
            name = str(link.get("ifname"))  # pyroute2's messages look attributes up by .get()
            if _sysctl(f"net/ipv4/conf/{name}/forwarding", "1"):
                ours.add(name)
                journal.write_json(record, sorted(ours))

    def _stop_forwarding(self, route: IPRoute) -> None:
        """Put back what `_forward` changed, unless another node of this machine still needs it."""
        others = any(str(link.get("ifalias") or "").startswith(_ALIAS) for link in route.get_links())
        record = self._folder / "forwarding.json"
        for name in [] if others else journal.read_json(record) or []:
            _sysctl(f"net/ipv4/conf/{name}/forwarding", "0")
        record.unlink(missing_ok=True)

    def _attachment(self, container_id: str, lease: Lease) -> Attachment:
        return Attachment(
            container_id=container_id,
            netns=self._pin(container_id),
            address=lease.address,
            gateway=self._gateway,
            interface=lease.interface,
        )

    def _pin(self, container_id: str) -> Path:
        return self._pins / container_id


def _configure_inside(attachment: Attachment) -> None:
    """A host route and nothing on the same wire: everything goes to the gateway, so it answers at once for what is forbidden."""
    _sysctl("net/ipv6/conf/default/disable_ipv6", "1")
    _sysctl(f"net/ipv6/conf/{_INSIDE}/disable_ipv6", "1")
    _sysctl("net/ipv4/ip_unprivileged_port_start", "0")
    gate = str(attachment.gateway)
    with IPRoute() as route:
        route.link("set", index=1, state="up")
        index = _required(_INSIDE)
        route.addr("add", index=index, address=str(attachment.address), prefixlen=32)
        route.link("set", index=index, state="up")
        route.neigh("replace", dst=gate, lladdr=hardware_address(attachment.gateway), ifindex=index, state="permanent")
        route.route("add", dst=f"{gate}/32", oif=index, scope="link")
        route.route("add", dst="default", gateway=gate, oif=index)


def _uplinks(route: IPRoute) -> list[dict[str, object]]:
    """The links behind IPv4 default routes."""
    indexes = {row.get("oif") for row in route.get_default_routes(family=2)} - {None}
    return [route.get_links(index)[0] for index in sorted(indexes)]


def _addresses(route: IPRoute, index: int | None = None) -> set[IPv4Address]:
    rows = route.get_addr(family=2) if index is None else route.get_addr(family=2, index=index)
    return {IPv4Address(row.get("local") or row.get("address")) for row in rows}


def _index(name: str) -> int | None:
    """The number of a link of this thread's namespace, None where there is none of the name; quicker than asking by netlink."""
    with suppress(OSError):
        return socket.if_nametoindex(name)
    return None


def _required(name: str) -> int:
    index = _index(name)
    if index is None:
        raise _missing(name)
    return index


def _missing(name: str) -> NetworkRefused:
    return NetworkRefused(f"The interface {name} is missing.", hint="Restart the platform; that sets the network up again.")


def _is_up(route: IPRoute, name: str) -> bool:
    index = _index(name)
    if index is None:
        return False
    links: list[dict[str, int]] = []
    with _absent_is_fine():
        links = route.get_links(index)
    return any(link["flags"] & 1 for link in links)  # IFF_UP


def _delete(route: IPRoute, index: int) -> None:
    with _absent_is_fine():
        route.link("del", index=index)


def _sysctl(name: str, value: str) -> bool:
    """Set a kernel variable; whether it was another before. One this kernel lacks (IPv6 switched off) needs no setting."""
    path = Path("/proc/sys") / name
    with suppress(FileNotFoundError):
        if path.read_text().strip() != value:
            path.write_text(value)
            return True
    return False


@contextmanager
def _absent_is_fine() -> Iterator[None]:
    try:
        yield
    except NetlinkError as error:
        if error.code not in (errno.ENODEV, errno.ENOENT):
            raise


@contextmanager
def _refusal(what: str, on: str) -> Iterator[None]:
    try:
        yield
    except NetlinkError as error:
        if error.code == _EXFULL:
            full = f"The bridge cannot take {on}: it holds the 1023 links that a Linux bridge can."
            raise NetworkRefused(full, hint="Stop some instances, or run a second node with another SLIPWAY_NAME.") from None
        raise NetworkRefused(f"The kernel refused to {what} {on}: {error}.") from None
    except OSError as error:
        raise NetworkRefused(f"The kernel refused to {what} {on}: {error}.", hint="Run as root.") from None
