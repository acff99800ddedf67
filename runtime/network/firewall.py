"""The node's nftables rules as text, and functions that send them to the kernel.

Two tables carry the node's name.

- `inet` filters by address. Outgoing connections use NAT and need the team's policy (`teams`).
  Incoming packets must belong to connections that the host opened. Containers reach no other
  container, no metadata service and not the host, and stay within `floods`. Processes that fetch
  from a user's registry run under a group (`RedirectScope`). They reach no address that is
  forbidden to containers, and for a public registry no private network.
- `bridge` allows a container to send only from its own addresses.

Every rule names our bridge, our interfaces or these groups, and the default policies are accept. So
other traffic of the machine is unaffected.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from runtime import process
from runtime.errors import NetworkRefused, ProcessFailed
from runtime.images.exchange.registry_reference import RedirectScope
from runtime.kernel import Kernel
from runtime.network import teams
from runtime.network.addresses import METADATA, PRIVATE, gateway, hardware_address, interface_prefix
from runtime.network.floods import FloodLimits
from runtime.network.leases import Lease
from runtime.network.policy import NetworkPolicy

# counting sets: a container's traffic with the outside, without the router's
SENT, RECEIVED = "sent", "received"
# packets over a limit
QUERIES_DROPPED, FLOWS_REFUSED, DATAGRAMS_DROPPED = (
    "queries_dropped",
    "flows_refused",
    "datagrams_dropped",
)
OVER_A_LIMIT = (QUERIES_DROPPED, FLOWS_REFUSED, DATAGRAMS_DROPPED)
COUNTED = (SENT, RECEIVED, *OVER_A_LIMIT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """The counts of an element of a counting set."""

    packets: int = 0
    bytes: int = 0


def ruleset(
    *,
    node: str,
    bridge: str,
    network: IPv4Network,
    local_resolvers: Sequence[IPv4Address],
    leases: Collection[Lease],
    policies: Mapping[int, NetworkPolicy],
    known: teams.Known,
    resolvers: Sequence[IPv4Address],
    limits: FloodLimits,
    proxies: Sequence[int] = (),
) -> str:
    """Return the text of both tables. It replaces the existing tables in one transaction.

    Connections survive, because their state is not in the tables.

    Traffic between containers is refused before routing. Later, an ICMP redirect would use the
    refusal's share of the rate limit (net/ipv4/route.c, ip_rt_send_redirect), and the sender would
    wait for a timeout. Packets to any of the host's own addresses leave by `lo`.

    `proxies`: ports of HTTP proxies on this host; name lookups are allowed to any server.
    `policies`: of each team, at least those of `leases`. `known`: addresses of the host names in
    the policies. `resolvers`: name servers of containers.
    """
    addresses = ", ".join(map(str, local_resolvers))
    metadata = ", ".join(map(str, METADATA))
    to_proxies = (
        f'oifname "lo" tcp dport {{ {", ".join(map(str, proxies))} }} accept' if proxies else ""
    )
    to_resolvers = (
        f"ip daddr {{ {addresses} }} meta l4proto {{ tcp, udp }} th dport 53 accept"
        if addresses
        else ""
    )
    return f"""\
{removal(node)}
table inet {node} {{
  set flows {{
    type ipv4_addr
    size 65535
    flags dynamic
  }}
{_rate_sets()}{_counting_sets()}  map teams {{
    type ipv4_addr : verdict
  }}
  chain floods {{
    type filter hook prerouting priority raw; policy accept;
    iifname "{bridge}" meta l4proto {{ tcp, udp }} th dport 53 {_over("queries", limits.queries, limits.queries_burst)} jump queries_over
    iifname "{bridge}" meta l4proto != tcp {_over("datagrams", limits.datagrams, limits.datagrams_burst)} jump datagrams_over
  }}
  chain queries_over {{
    ip saddr @{QUERIES_DROPPED} drop
    drop
  }}
  chain datagrams_over {{
    ip saddr @{DATAGRAMS_DROPPED} drop
    drop
  }}
  chain flows_over {{
    ip saddr @{FLOWS_REFUSED} reject with icmpx admin-prohibited
    reject with icmpx admin-prohibited
  }}
  chain prerouting {{
    type filter hook prerouting priority filter - 10; policy accept;
    iifname "{bridge}" ct state new {_over("openings", limits.openings, limits.openings_burst)} goto flows_over
    iifname "{bridge}" ip daddr {network} ip daddr != {gateway(network)} reject with icmpx admin-prohibited
    iifname "{bridge}" ct state new add @flows {{ ip saddr ct count over {limits.flows} }} goto flows_over
  }}
  chain forward {{
    type filter hook forward priority filter - 10; policy accept;
    iifname "{bridge}" jump from_containers
    oifname "{bridge}" ct state established,related jump to_containers
    oifname "{bridge}" reject with icmpx admin-prohibited
  }}
  chain to_containers {{
    ip daddr @{RECEIVED} accept
    accept
  }}
  chain from_containers {{
    oifname "{bridge}" reject with icmpx admin-prohibited
    meta nfproto != ipv4 drop
    ip daddr {{ {metadata} }} reject with icmpx admin-prohibited
    ip saddr vmap @teams
    ip saddr @{SENT} accept
    accept
  }}
  chain input {{
    type filter hook input priority filter - 10; policy accept;
    iifname "{bridge}" jump from_containers_to_host
  }}
  chain from_containers_to_host {{
    ct direction reply accept
    ip saddr vmap @teams
    ct state established,related accept
    icmp type echo-request accept
    {to_resolvers}
    reject with icmpx admin-prohibited
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr {network} oifname != "{bridge}" masquerade
  }}
  chain output {{
    type filter hook output priority filter - 10; policy accept;
    meta skgid {{ {RedirectScope.OUTWARD}, {RedirectScope.PUBLIC} }} jump to_strangers
  }}
  chain to_strangers {{
    meta l4proto {{ tcp, udp }} th dport 53 accept
    {to_proxies}
    oifname {{ "lo", "{bridge}" }} jump refused
    ip daddr {{ {metadata} }} jump refused
    ip6 daddr {{ fe80::/10, fd00:ec2::254 }} jump refused
    meta skgid {RedirectScope.PUBLIC} ip daddr {{ {", ".join(map(str, PRIVATE))} }} jump refused
    meta skgid {RedirectScope.PUBLIC} ip6 daddr fc00::/7 jump refused
  }}
  chain refused {{
    meta l4proto tcp reject with tcp reset
    reject with icmpx admin-prohibited
  }}
}}
table bridge {node} {{
  set senders {{
    type ifname . ether_addr . ipv4_addr
  }}
  chain prerouting {{
    type filter hook prerouting priority -300; policy accept;
    iifname "{interface_prefix(node)}*" jump from_containers
  }}
  chain from_containers {{
    ether type ip iifname . ether saddr . ip saddr @senders accept
    ether type arp iifname . ether saddr . arp saddr ip @senders iifname . arp saddr ether . arp saddr ip @senders accept
    drop
  }}
}}
{"".join(teams.chains(node, team, limits) + teams.rules(node, team, policy, known, resolvers) for team, policy in policies.items())}\
{_add(node, leases)}"""  # noqa: E501


def rules_to_admit(node: str, lease: Lease) -> str:
    """Return the rules that let a container send from its addresses, and that count its traffic.

    They apply its team's policy.
    """
    return _add(node, [lease])


def rules_to_dismiss(node: str, lease: Lease) -> str:
    """Return the rules that undo `rules_to_admit`.

    They add the elements first, so that the removal of absent ones succeeds.
    """
    return rules_to_admit(node, lease) + "".join(
        f"delete element {place} {{ {element} }}\n" for place, element in _elements(node, lease)
    )


def counters(kernel: Kernel, node: str, name: str) -> dict[IPv4Address, Counter]:
    """Return the counts of one of the sets COUNTED by container's address; {} if the set is
    absent.
    """
    answer, complaint = kernel.nft_json(f"list set inet {node} {name}")
    if "No such file or directory" in complaint:
        return {}
    if complaint:
        raise _refusal(complaint)
    listed = json.loads(answer)
    found: dict[IPv4Address, Counter] = {}
    for part in listed["nftables"]:
        rows: list[Any] = part.get("set", {}).get("elem", [])
        for row in (row["elem"] for row in rows if "elem" in row):
            found[IPv4Address(row["val"])] = Counter(
                packets=row["counter"]["packets"], bytes=row["counter"]["bytes"]
            )
    return found


def removal(node: str) -> str:
    """Return the text that removes both tables, even if they are absent."""
    return "\n".join(
        f"{verb} table {family} {node}"
        for family in ("inet", "bridge")
        for verb in ("add", "delete")
    )


def apply(text: str) -> None:
    """Apply rules as one transaction. Raise NetworkRefused if the kernel rejects them."""
    try:
        process.run(["nft", "-f", "-"], input=text.encode(), timeout=60)
    except ProcessFailed as error:
        raise _refusal(str(error)) from None


def amend(kernel: Kernel, text: str) -> None:
    """Apply a few lines of rules without starting a process, so that a launch does not wait for
    one.
    """
    if complaint := kernel.nft(text):
        raise _refusal(complaint)


def _refusal(complaint: str) -> NetworkRefused:
    needs = (
        "nftables 1.0 or later and the kernel's nf_tables with bridge and NAT support are needed."
    )
    return NetworkRefused(f"The kernel did not accept the firewall rules. {complaint}", hint=needs)


def _add(node: str, leases: Iterable[Lease]) -> str:
    together: dict[str, list[str]] = {}
    for lease in leases:
        for place, element in _elements(node, lease):
            together.setdefault(place, []).append(element)
    return "".join(
        f"add element {place} {{ {', '.join(elements)} }}\n" for place, elements in together.items()
    )


def _elements(node: str, lease: Lease) -> Iterator[tuple[str, str]]:
    """Yield the sets and maps of a container, each with the container's element."""
    yield f"bridge {node} senders", _sender(lease)
    yield f"inet {node} teams", f"{lease.address} : jump {teams.chain_of(lease.owner)}"
    for name in COUNTED:
        yield f"inet {node} {name}", str(lease.address)


def _rate_sets() -> str:
    """Return the sets in which the kernel keeps each container's rate. Silent containers expire."""
    return "".join(
        f"  set {name} {{\n    type ipv4_addr\n    size 65535\n    flags dynamic,timeout\n   "
        " timeout 1m\n  }\n"
        for name in ("queries", "datagrams", "openings")
    )


def _counting_sets() -> str:
    """Return the counting sets. An element counts the packets that match it."""
    return "".join(f"  set {name} {{\n    type ipv4_addr\n    counter\n  }}\n" for name in COUNTED)


def _over(name: str, rate: int, burst: int) -> str:
    """Return the expression that matches packets of a container beyond a rate."""
    return f"update @{name} {{ ip saddr limit rate over {rate}/second burst {burst} packets }}"


def _sender(lease: Lease) -> str:
    return f'"{lease.interface}" . {hardware_address(lease.address)} . {lease.address}'
