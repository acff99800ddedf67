"""The network of a node's containers: one bridge, and one isolated link per container.

Outgoing traffic uses NAT; only this host can open connections to containers. Any process of root
may call it: the durable state is in `leases` under a lock, and the rest is read from the kernel.
Each call opens its own netlink socket (0.3 ms), so threads share nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from ipaddress import IPv4Address
from pathlib import Path

from pyroute2 import IPRoute

from runtime.config import NodeConfig, proxy_ports
from runtime.kernel import Kernel
from runtime.network import firewall, forwarding, namespaces, teams
from runtime.network.addresses import gateway, hardware_address, interface_prefix
from runtime.network.attachment import Attachment
from runtime.network.bandwidth import shape
from runtime.network.bridge import Bridge, has_node_bridges
from runtime.network.container_end import INSIDE, configure, shape_inside
from runtime.network.floods import FloodLimits
from runtime.network.interfaces import (
    absent_is_fine,
    addresses_of,
    delete_link,
    index_of,
    is_up,
    refusal,
    required_index,
    set_sysctl,
    uplinks_of,
)
from runtime.network.leases import Lease, Leases, Owner
from runtime.network.names import name_servers
from runtime.network.policies import Lookup, Policies, look_up
from runtime.network.policy import NetworkPolicy
from runtime.network.traffic import Amount, Counted, Dropped, Traffic, TrafficTotals, month_of

_NTF_MASTER, _NUD_NOARP = (
    0x04,
    0x40,
)  # a static entry of the bridge, not of the port (linux/neighbour.h)
_ALONE = {"isolated": 1, "learning": 0, "unicast_flood": 0, "mcast_flood": 0, "bcast_flood": 0}


class Network:
    """The node's network.

    Call `prepare` at start, `attach` and `detach` per container, and `tear_down` at removal.
    """

    def __init__(
        self,
        config: NodeConfig,
        kernel: Kernel | None = None,
        *,
        limits: FloodLimits | None = None,
        lookup: Lookup = look_up,
        resolvers: Callable[[], Sequence[IPv4Address]] = name_servers,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._config, self._limits, self._resolvers, self._clock = (
            config,
            limits or FloodLimits(),
            resolvers,
            clock,
        )
        self._kernel = kernel or Kernel()
        self._folder = config.state / "network"
        self._pins = config.run / "netns"
        self._gateway = gateway(config.network)
        self._bridge = Bridge(config)
        self._forwarding = self._folder / "forwarding.json"
        self._leases = Leases(self._folder, node=config.name, network=config.network)
        self._policies = Policies(self._folder, lookup)
        self._traffic = Traffic(self._folder)

    def prepare(self, owners: Mapping[str, Owner] | None = None) -> None:
        """Set up the bridge, forwarding and the firewall. A repeated call cuts no connection.

        Raise NetworkRefused if the address range is in use. `owners`: owners of the existing
        containers, for leases that an older version wrote.
        """
        for folder in (self._folder, self._pins):
            folder.mkdir(parents=True, exist_ok=True)
        self._leases.set_owners(owners or {})
        with self._policies.held(), self._leases.held() as leases:
            with refusal("set up the bridge", self._config.bridge), IPRoute() as route:
                self._bridge.check_range(route)
                self._bridge.ensure(route)
                forwarding.turn_on(self._forwarding, uplinks_of(route))
                local, resolvers = addresses_of(route), self._resolvers()
            policies = self._policies_of(leases)
            with self._traffic.changed() as sums:
                self._add_up(sums, leases)
                firewall.apply(
                    firewall.ruleset(
                        node=self._config.name,
                        bridge=self._config.bridge,
                        network=self._config.network,
                        local_resolvers=[server for server in resolvers if server in local],
                        leases=leases.values(),
                        policies=policies,
                        known=self._policies.known(),
                        resolvers=resolvers,
                        limits=self._limits,
                        proxies=proxy_ports(),
                    )
                )
                sums.seen.clear()  # the new rules count from 0
            self._policies.write(policies)

    def attach(
        self, container_id: str, userns: Path, *, team: int = 0, app: str = "", build: bool = False
    ) -> Attachment:
        """Give a container a network namespace owned by `userns`, an address and a link to the
        bridge.

        Keep existing ones.
        """
        lease = self._leases.take(container_id, Owner(team=team, app=app, build=build))
        attachment = self._attachment(container_id, lease)
        with refusal("connect", container_id), IPRoute() as route:
            if namespaces.is_pinned(attachment.netns) and is_up(route, lease.interface):
                return attachment
            if attachment.netns.exists() or index_of(lease.interface) is not None:
                self._unplug(route, attachment)  # incomplete, or from before a reboot
            policy = self._policy_of(lease.owner.team)
            # the kernel needs some milliseconds to change its rules
            with ThreadPoolExecutor(1) as aside:
                admitting = aside.submit(
                    firewall.amend, self._kernel, firewall.rules_to_admit(self._config.name, lease)
                )
                namespaces.ensure(self._kernel, attachment.netns, userns)
                port = self._plug(route, attachment, policy.bandwidth)
                admitting.result()
            route.link("set", index=port, state="up")  # last: marks the attachment as complete
            # changed in the meantime
            if (now := self._policy_of(lease.owner.team).bandwidth) != policy.bandwidth:
                self._shape(route, attachment, now)
        return attachment

    def detach(self, container_id: str) -> None:
        """Remove a container's link, namespace and address. Succeed if it has none."""
        lease = self._leases.all().get(container_id)
        if lease is None:
            namespaces.remove(self._kernel, self._pin(container_id))
            return
        with refusal("disconnect", container_id), IPRoute() as route:
            self._unplug(route, self._attachment(container_id, lease))
            if index_of(self._config.bridge) is not None:
                with self._traffic.changed() as sums:
                    self._add_up(sums, {container_id: lease})
                    sums.seen.pop(container_id, None)
                    firewall.amend(
                        self._kernel, firewall.rules_to_dismiss(self._config.name, lease)
                    )
        self._leases.drop(container_id)

    def set_policy(self, team: int, policy: NetworkPolicy) -> None:
        """Apply a policy to a team's containers, also to running ones. An unchanged policy costs
        nothing.

        Host names apply once they have been looked up (`refresh_names`).
        """
        with self._policies.held():
            policies = self._policies.all()
            before = policies.get(team)
            if before == policy:
                return
            rules = self._rules(team, policy)
            firewall.amend(
                self._kernel,
                rules if before else teams.chains(self._config.name, team, self._limits) + rules,
            )
            self._policies.write({**policies, team: policy})
        if policy.bandwidth != (before or NetworkPolicy()).bandwidth:
            with refusal("set the bandwidth of team", str(team)), IPRoute() as route:
                for container, lease in self._leases.all().items():
                    if lease.owner.team == team:
                        self._shape(route, self._attachment(container, lease), policy.bandwidth)

    def refresh_names(self, more: Collection[str] = ()) -> None:
        """Look up the hosts of all allow lists and of `more`, and allow their addresses.

        This takes as long as the resolver needs.
        """
        before = self._policies.known()
        names = {name for policy in self._policies.all().values() for name in policy.names} | {
            *more
        }
        self._policies.refresh(names, self._clock())
        with self._policies.held():
            known = self._policies.known()
            changed = {name for name in {*before, *known} if before.get(name) != known.get(name)}
            rules = [
                self._rules(team, policy)
                for team, policy in self._policies.all().items()
                if policy.names & changed
            ]
            if rules:
                firewall.amend(self._kernel, "".join(rules))

    def count(self) -> Counted:
        """Return the traffic of all apps so far, and by container the packets over a limit."""
        with self._traffic.changed() as sums:
            leases = self._leases.all()
            self._add_up(sums, leases)
        by_kind = [
            firewall.counters(self._kernel, self._config.name, name)
            for name in firewall.OVER_A_LIMIT
        ]
        dropped = {
            container: Dropped(
                *(counters.get(lease.address, firewall.Counter()).packets for counters in by_kind)
            )
            for container, lease in leases.items()
        }
        return Counted(
            apps=sums.apps,
            teams=sums.months.get(month_of(self._clock()), {}),
            dropped=dropped,
            owners={container: lease.owner for container, lease in leases.items()},
            containers={
                container: sums.seen[container] for container in leases if container in sums.seen
            },
        )

    def forget(self, app: str) -> None:
        """Delete an app's traffic total, because its name may become another team's."""
        with self._traffic.changed() as sums:
            sums.apps.pop(app, None)

    def attachments(self) -> dict[str, Attachment]:
        """Return all containers with an address, by id; after a reboot also those without a
        link.
        """
        return {
            container: self._attachment(container, lease)
            for container, lease in self._leases.all().items()
        }

    def tear_down(self) -> None:
        """Remove the network from the kernel, and all leases."""
        with refusal("remove the network", self._config.name), IPRoute() as route:
            for pin in sorted(self._pins.glob("*")):
                namespaces.remove(self._kernel, pin)
            for link in route.get_links():
                if str(link.get("ifname")).startswith(interface_prefix(self._config.name)):
                    delete_link(route, link["index"])
            if (bridge := index_of(self._config.bridge)) is not None:
                delete_link(route, bridge)
            if not has_node_bridges(route):  # another node of this machine needs it
                forwarding.turn_off(self._forwarding)
            self._forwarding.unlink(missing_ok=True)
        firewall.apply(firewall.removal(self._config.name) + "\n")
        for container in self._leases.all():
            self._leases.drop(container)

    def _policies_of(self, leases: Mapping[str, Lease]) -> dict[int, NetworkPolicy]:
        """Return the policies that differ from the default, and one for each team with a
        container.
        """
        present = {lease.owner.team for lease in leases.values()}
        known = self._policies.all()
        said = {team: policy for team, policy in known.items() if policy != NetworkPolicy()}
        return {team: NetworkPolicy() for team in present} | said

    def _policy_of(self, team: int) -> NetworkPolicy:
        """Return a team's policy. Set the default one if it has none, so that its rules exist."""
        policy = self._policies.all().get(team)
        if policy is None:
            policy = NetworkPolicy()
            self.set_policy(team, policy)
        return policy

    def _rules(self, team: int, policy: NetworkPolicy) -> str:
        return teams.rules(
            self._config.name, team, policy, self._policies.known(), self._resolvers()
        )

    def _add_up(self, sums: TrafficTotals, leases: Mapping[str, Lease]) -> None:
        node, month = self._config.name, month_of(self._clock())
        sent, received = (
            firewall.counters(self._kernel, node, name)
            for name in (firewall.SENT, firewall.RECEIVED)
        )
        for container, lease in leases.items():
            if (out := sent.get(lease.address)) is not None:
                counted = Amount(
                    sent=out.bytes, received=received.get(lease.address, firewall.Counter()).bytes
                )
                sums.add(container, lease.owner, counted, month)

    def _shape(self, route: IPRoute, attachment: Attachment, bits_per_second: int) -> None:
        """Limit both ends of a link. A link that is removed in the meantime needs no limit."""
        if (port := index_of(attachment.interface)) is None:
            return
        with absent_is_fine(), suppress(FileNotFoundError):
            shape(route, port, bits_per_second)
            namespaces.inside(attachment.netns, lambda: shape_inside(bits_per_second))

    def _plug(self, route: IPRoute, attachment: Attachment, bits_per_second: int) -> int:
        """Create the link without its last step. Return the index of its end on the bridge."""
        bridge, mtu = self._bridge.index_and_mtu(route)
        mac = hardware_address(attachment.address)
        with attachment.netns.open("rb") as namespace:
            peer = {"ifname": INSIDE, "net_ns_fd": namespace.fileno(), "address": mac, "mtu": mtu}
            route.link(
                "add", ifname=attachment.interface, kind="veth", mtu=mtu, master=bridge, peer=peer
            )
        namespaces.inside(attachment.netns, lambda: configure(attachment, bits_per_second))
        port = required_index(attachment.interface)
        if bits_per_second:
            shape(route, port, bits_per_second)
        set_sysctl(f"net/ipv6/conf/{attachment.interface}/disable_ipv6", "1")
        route.brport("set", index=port, **_ALONE)
        route.fdb("add", ifindex=port, lladdr=mac, flags=_NTF_MASTER, state=_NUD_NOARP)
        route.neigh(
            "replace", dst=str(attachment.address), lladdr=mac, ifindex=bridge, state="permanent"
        )
        return port

    def _unplug(self, route: IPRoute, attachment: Attachment) -> None:
        if (port := index_of(attachment.interface)) is not None:
            delete_link(route, port)
        if (bridge := index_of(self._config.bridge)) is not None:
            with absent_is_fine():
                route.neigh("del", dst=str(attachment.address), ifindex=bridge)
        namespaces.remove(self._kernel, attachment.netns)

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
